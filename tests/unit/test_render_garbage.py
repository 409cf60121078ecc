"""Any bytes for any type: text or ShortRead, never anything else."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.binlog.charsets import charset_of
from cdcd.binlog.core.native import ShortRead, render
from cdcd.binlog.schema import Column

COLLATIONS = [collation for collation in range(1, 3328) if charset_of(collation)]
LABELS = (b"a", b"b", b"c")


def column(type_: int, meta: int, collation: int = 0, *, unsigned: bool = False) -> Column:
    return Column("c", type_, meta, nullable=True, unsigned=unsigned, collation=collation, labels=LABELS)


COLUMNS = st.one_of(
    st.builds(column, st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 242, 245, 255]), st.just(4)),
    st.builds(column, st.sampled_from([1, 2, 3, 8, 9]), st.just(0), unsigned=st.just(True)),
    st.builds(column, st.sampled_from([17, 18, 19]), st.integers(0, 6)),
    st.builds(column, st.just(16), st.integers(1, 64)),
    st.builds(lambda p, s: column(246, p << 8 | min(p, s)), st.integers(1, 65), st.integers(0, 30)),
    st.builds(column, st.sampled_from([15, 252, 253, 254]), st.integers(1, 300), st.sampled_from(COLLATIONS)),
    st.builds(column, st.just(247), st.integers(1, 2), st.just(255)),
    st.builds(column, st.just(248), st.integers(1, 8), st.just(255)),
)


@settings(max_examples=1000)
@given(COLUMNS, st.binary(max_size=60))
def test_any_bytes(what: Column, raw: bytes) -> None:
    try:
        text = render(what, raw)
    except ShortRead:
        return
    assert isinstance(json.loads(b'"' + text + b'"'), str)

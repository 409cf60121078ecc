"""Table maps in force, and rows that refer to them."""

import struct

import pytest

from cdcd.binlog.core.native import AFTER, COLUMN, LITERAL, Plan, Route
from cdcd.binlog.schema import TableSchema
from cdcd.errors import MalformedEvent, UnsupportedEvent
from tests.decoding import NOW_MS, Catalog, a_decoder, hear, plan_of
from tests.events import (
    BEGIN,
    COMMIT,
    DELETE,
    DELETE_V1,
    UPDATE,
    UPDATE_V1,
    WRITE,
    WRITE_V1,
    Dump,
    Event,
    bitmap,
    fde,
    field,
    gtid,
    image,
    packed,
    query,
    rows,
    table_map,
    texts,
)


def messages(*events: Event) -> list[str]:
    return hear(Dump().transaction(1, BEGIN, *events, COMMIT)).messages


@pytest.mark.parametrize(
    ("write", "update", "delete"), [(WRITE, UPDATE, DELETE), (WRITE_V1, UPDATE_V1, DELETE_V1)], ids=["v2", "v1"]
)
def test_row_changes(write: int, update: int, delete: int) -> None:
    dump = Dump().transaction(
        1,
        BEGIN,
        table_map(),
        rows(write, image(1, "a"), image(-2, None)),
        rows(update, image(1, "a"), image(1, "b"), image(-2, None), image(-2, "")),
        rows(delete, image(1, "b")),
        COMMIT,
    )
    heard = hear(dump)
    assert heard.messages == [
        '+orders "id":"1","name":"a"',
        '+orders "id":"-2","name":null',
        '~orders "id":"1","name":"a" > "id":"1","name":"b"',
        '~orders "id":"-2","name":null > "id":"-2","name":""',
        '-orders "id":"1","name":"b"',
    ]
    decoder = heard.decoder
    assert (decoder.inserts, decoder.updates, decoder.deletes, decoder.filtered, decoder.seq) == (2, 2, 1, 0, 5)


def test_a_changed_key_is_a_delete_and_an_insert() -> None:
    heard = hear(Dump().transaction(1, BEGIN, table_map(), rows(UPDATE, image(1, "a"), image(2, "a")), COMMIT))
    assert heard.messages == ['-orders "id":"1","name":"a"', '+orders "id":"2","name":"a"']
    assert (heard.decoder.updates, heard.decoder.seq, heard.decoder.deletes, heard.decoder.inserts) == (1, 2, 0, 0)


def test_several_maps_before_interleaved_rows() -> None:
    """A trigger's table beside its own."""
    maps = table_map(7, "orders"), table_map(8, "audit")
    changes = [rows(WRITE, image(n, "a"), table_id=7 + n % 2) for n in range(4)]
    assert [message.split()[0] for message in messages(*maps, *changes)] == ["+orders", "+audit", "+orders", "+audit"]


def test_extra_row_information_is_passed() -> None:
    """Partition ids; its length counts itself."""
    assert messages(table_map(), rows(WRITE, image(1, "a"), extra=b"\x00\x05\x00")) == ['+orders "id":"1","name":"a"']


def test_a_table_id_that_is_used_again_in_the_same_file() -> None:
    maps = table_map(7, "orders"), table_map(7, "people")
    found = messages(maps[0], rows(WRITE, image(1, "a")), maps[1], rows(WRITE, image(2, "b")))
    assert [message.split()[0] for message in found] == ["+orders", "+people"]


@pytest.mark.parametrize("real", [True, False], ids=["rotated", "crashed"])
def test_table_ids_start_again_in_the_next_file(real: bool) -> None:
    dump = Dump().transaction(1, BEGIN, table_map(7, "orders"), rows(WRITE, image(1, "a")), COMMIT)
    dump.rotate("binlog.000002", real=real)
    with pytest.raises(MalformedEvent, match="table id 7, which no table map announced"):
        hear(Dump().add(gtid(2), BEGIN, rows(WRITE, image(2, "b"))))
    with pytest.raises(MalformedEvent, match="table id 7, which no table map announced"):
        hear(dump.add(gtid(2), BEGIN, rows(WRITE, image(2, "b"))))


def test_a_map_that_changed_in_nothing_but_its_metadata() -> None:
    """One byte of an otherwise equal map: a wider VARCHAR has two bytes of length."""
    wide = table_map(columns=(("id", 3, b""), ("name", 15, b"\x2c\x01")))
    long = b"\x00" + struct.pack("<iH", 2, 3) + b"abc"
    found = messages(
        table_map(), rows(WRITE, image(1, "a")), wide, rows(WRITE, long), table_map(), rows(WRITE, image(3, "c"))
    )
    assert found == ['+orders "id":"1","name":"a"', '+orders "id":"2","name":"abc"', '+orders "id":"3","name":"c"']


def test_the_catalog_is_asked_once_for_each_distinct_map() -> None:
    catalog = Catalog()
    decoder = a_decoder(catalog)
    dump = Dump()
    for number in range(1, 5):
        change = rows(WRITE, image(1, "a"), table_id=100 + number)
        dump.transaction(number, BEGIN, table_map(100 + number), change, COMMIT)
    hear(dump, decoder)
    assert catalog.asked == ["orders"]
    decoder.forget("shop", "people")
    hear(dump_on(dump).transaction(5, BEGIN, table_map(104), rows(WRITE, image(1, "a"), table_id=104), COMMIT), decoder)
    assert catalog.asked == ["orders"]
    decoder.forget("shop", "orders")
    hear(dump_on(dump).transaction(6, BEGIN, table_map(104), rows(WRITE, image(1, "a"), table_id=104), COMMIT), decoder)
    assert catalog.asked == ["orders"] * 2


def dump_on(dump: Dump) -> Dump:
    """The same dump's next packets: what was fed already is cut off."""
    fed = len(dump.packets)
    dump.packets[:] = [b""] * fed
    return dump


def test_tables_left_out() -> None:
    decoder = a_decoder(Catalog(left_out=frozenset({"people"})))
    people = rows(WRITE, image(1, "a"), image(2, "b"), table_id=8)
    changes = table_map(7, "orders"), table_map(8, "people"), people, rows(WRITE, image(3, "c"))
    heard = hear(Dump().transaction(1, BEGIN, *changes, COMMIT), decoder)
    assert heard.messages == ['+orders "id":"3","name":"c"']
    assert (decoder.filtered, decoder.seq, decoder.inserts) == (2, 1, 1)


def test_rows_done_counts_before_filters_and_starts_again() -> None:
    decoder = a_decoder(Catalog(left_out=frozenset({"people"})))
    people = rows(WRITE, image(1, "a"), image(2, "b"), table_id=8)
    dump = Dump().transaction(1, BEGIN, table_map(8, "people"), people, COMMIT)
    dump.add(gtid(2), BEGIN, table_map(8, "people"), people, table_map(), rows(WRITE, image(3, "c")))
    hear(dump, decoder)
    assert (decoder.rows_done, decoder.in_transaction) == (3, True)
    hear(dump_on(dump).add(COMMIT), decoder)
    assert decoder.rows_done == 0


def test_statements_may_ask_to_forget() -> None:
    """A DDL between two equal maps of one table: the names may have changed."""
    catalog = Catalog()
    decoder = a_decoder(catalog)
    dump = Dump().transaction(1, BEGIN, table_map(), rows(WRITE, image(1, "a")), COMMIT)
    heard = hear(dump.transaction(2, query("ALTER TABLE orders RENAME COLUMN name TO title")), decoder)
    assert len(heard.statements) == 1
    decoder.forget("shop", "orders")
    hear(dump_on(dump).transaction(3, BEGIN, table_map(), rows(WRITE, image(1, "a")), COMMIT), decoder)
    assert catalog.asked == ["orders"] * 2


def test_four_bytes_of_table_id() -> None:
    """MySQL 5.0 and older say so by the length of the TABLE_MAP's post-header."""
    dump = Dump().add(fde(table_map_post_header=6))
    change = rows(WRITE_V1, image(1, "a"), id_size=4)
    assert hear(dump.transaction(1, BEGIN, table_map(id_size=4), change, COMMIT)).messages == [
        '+orders "id":"1","name":"a"'
    ]


def test_dummy_rows_event() -> None:
    """Ends a statement of which no rows were logged (MySQL source, Rows_log_event: table id of all one bits)."""
    assert messages(table_map(), rows(WRITE, table_id=(1 << 48) - 1)) == []


# ------------------------------------------------------------------ images with fewer columns


def test_minimal_images() -> None:
    """binlog_row_image=MINIMAL: key before, changed columns after. What an update does not log has not changed."""
    before, after = b"\x00" + struct.pack("<i", 5), b"\x00\x01b"
    update = rows(UPDATE, before, after, present=[0], present_after=[1])
    found = messages(table_map(), update, rows(DELETE, before, present=[0]))
    assert found == ['~orders "id":"5" > "id":"5","name":"b"', '-orders "id":"5"']


def test_an_after_image_without_what_did_not_change() -> None:
    """A table without key with MINIMAL, or MariaDB's FULL_NODUP: the row is whole before, and so it is after."""
    after = b"\x00\x01b"
    assert messages(table_map(key=()), rows(UPDATE, image(5, "a"), after, present_after=[1])) == [
        '~orders "id":"5","name":"a" > "id":"5","name":"b"'
    ]
    assert messages(table_map(), rows(UPDATE, image(5, "a"), b"\x00" + struct.pack("<i", 6), present_after=[0])) == [
        '-orders "id":"5","name":"a"',
        '+orders "id":"6","name":"a"',
    ]


def test_half_a_row_under_a_new_key_is_refused() -> None:
    """It would look like a whole one."""
    before, after = b"\x00" + struct.pack("<i", 5), b"\x00" + struct.pack("<i", 6)
    with pytest.raises(UnsupportedEvent, match=r"to another key or partition, but the row image lacks column name"):
        messages(table_map(), rows(UPDATE, before, after, present=[0], present_after=[0]))


def test_an_insert_of_defaults_alone() -> None:
    """`INSERT INTO t VALUES ()` with MINIMAL: no columns, no bytes, one row (seen on MySQL 9.7)."""
    assert messages(table_map(key=()), rows(WRITE, present=[])) == ["+orders "]


@pytest.mark.parametrize(
    "event", [rows(WRITE, b"\x00", present=[]), rows(UPDATE, b"\x00", present=[]), rows(DELETE, present=[])]
)
def test_rows_without_columns_end(event: Event) -> None:
    """Reading them takes no bytes: it must not go on for ever."""
    with pytest.raises(MalformedEvent, match=r"rows of shop\.orders without any column"):
        messages(table_map(), event)


@pytest.mark.parametrize("event", [rows(WRITE, present=[]), rows(DELETE, b"\x00\x01a", present=[1])])
def test_a_key_that_is_not_in_the_image(event: Event) -> None:
    """Half a key would put the row under another one."""
    with pytest.raises(UnsupportedEvent, match=r"lacks column id, on which its key or partition depends"):
        messages(table_map(), event)


def test_bits_beyond_the_columns_mean_nothing() -> None:
    kind, body = rows(WRITE, b"\xfc" + image(1, "a")[1:])
    body = body.replace(bitmap(2, None), b"\xff", 1) if body.count(bitmap(2, None)) == 1 else body
    assert messages(table_map(), (kind, body)) == ['+orders "id":"1","name":"a"']


# ------------------------------------------------------------------ what is malformed


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (rows(WRITE, image(1, "a")[:-1]), "1 bytes wanted, 0 left"),
        (rows(WRITE, image(1, "a") + b"\x00"), "4 bytes wanted"),
        (rows(WRITE, image(1, "a"), columns=3), "another number of columns"),
        (rows(UPDATE, image(1, "a")), "1 bytes wanted, 0 left"),
        ((WRITE, b"\x07\x00\x00\x00\x00\x00\x01\x00\x01\x00"), "counts itself"),
        ((WRITE, b"\x07\x00"), "6 bytes wanted"),
    ],
)
def test_malformed_rows(event: Event, says: str) -> None:
    with pytest.raises(MalformedEvent, match=says) as caught:
        messages(table_map(), event)
    assert caught.value.event_type == event[0]


NO_TEXT = (("id", 3, b""),)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ((19, b"\x07\x00\x00\x00\x00\x00\x01\x00\x04shop"), "wanted"),
        (table_map(columns=NO_TEXT, more=field(4, texts("a"))[:-1]), "wanted"),
        (table_map(key=(5,)), "names column 5 of 2"),
        (table_map(columns=NO_TEXT * 70_000, named=False), "a table of 70000 columns"),
        (table_map(more=field(2, b"\x21\x09\x08")), "character column 9 of 1"),
        (table_map(columns=(("id", 246, b"\x02\x05"), ("name", 15, b"\x50\x00"))), "metadata"),
        (table_map(columns=(("id", 18, b"\x09"), ("name", 15, b"\x50\x00"))), "metadata 9"),
    ],
)
def test_malformed_table_maps(event: Event, says: str) -> None:
    with pytest.raises(MalformedEvent, match=says) as caught:
        messages(event)
    error = caught.value
    assert (error.file, error.event_type) == ("binlog.000001", 19)
    assert error.position > 4


@pytest.mark.parametrize("kind", [0, 6, 20, 200, 244])
def test_unknown_column_types(kind: int) -> None:
    columns = (("id", 3, b""), ("odd", kind, b"\x05\x02" if kind == 0 else b""))
    with pytest.raises(UnsupportedEvent, match=f"'odd'.*type {kind}"):
        messages(table_map(columns=columns))


def test_a_set_of_too_many_labels() -> None:
    labels = field(5, b"\x41" + texts(*map(str, range(65)))) + field(10, packed(255))
    with pytest.raises(MalformedEvent, match="65 labels"):
        messages(table_map(columns=(("id", 3, b""), ("s", 254, b"\xf8\x08")), more=labels))


@pytest.mark.parametrize("ids", [None, b"9"])
def test_no_half_rows_after_an_error(ids: bytes | None) -> None:
    """The rows before the broken one in its event are taken back, whatever partitions they went to; earlier ones stay."""
    route = Route("t", 3)
    decoder = a_decoder(lambda schema: plan_of(schema, route), **({} if ids is None else {"id_prefix": ids}))
    sound = rows(UPDATE, *(image(n, "a") for n in range(8))), rows(DELETE, image(50, "a"))
    whole = hear(Dump().add(gtid(1), BEGIN, table_map(), *sound), decoder)
    assert (decoder.seq, decoder.rows_done, len(whole.messages)) == (9, 5, 9)

    decoder = a_decoder(lambda schema: plan_of(schema, route), **({} if ids is None else {"id_prefix": ids}))
    broken = rows(UPDATE, *(image(n, "b") for n in range(20, 39)), image(39, "b")[:-1])
    decoder.feed(Dump().add(gtid(1), BEGIN, table_map(), *sound, broken).data)
    decoder.decode(NOW_MS)
    decoder.decode(NOW_MS)
    with pytest.raises(MalformedEvent):
        decoder.decode(NOW_MS)
    assert (decoder.seq, decoder.rows_done, decoder.updates, decoder.deletes) == (9, 5, 4, 1)
    runs = decoder.take_runs()
    assert sorted(value.decode() for _, _, _, values, _ in runs for value in values) == sorted(whole.messages)
    assert all(len(keys) == len(values) == len(given or keys) for _, _, keys, values, given in runs)


def test_nothing_is_left_of_an_event_that_was_alone() -> None:
    decoder = a_decoder()
    decoder.feed(Dump().add(gtid(1), BEGIN, table_map(), rows(WRITE, image(2, "b"), image(3, "c")[:-1])).data)
    decoder.decode(NOW_MS)
    decoder.decode(NOW_MS)
    with pytest.raises(MalformedEvent):
        decoder.decode(NOW_MS)
    assert (decoder.take_runs(), decoder.seq, decoder.rows_done, decoder.inserts) == ([], 0, 0, 0)


# ------------------------------------------------------------------ plans


def test_a_failing_catalog_is_heard() -> None:
    def catalog(schema: TableSchema) -> Plan | None:
        raise LookupError(schema.name)

    with pytest.raises(LookupError, match=r"shop\.orders"):
        hear(Dump().add(gtid(1), BEGIN, table_map()), a_decoder(catalog))


def test_schema_of_a_full_map() -> None:
    seen: list[TableSchema] = []

    def catalog(schema: TableSchema) -> Plan | None:
        seen.append(schema)
        return None

    columns = (("n", 8, b""), ("e", 254, b"\xf7\x01"), ("s", 254, b"\xf8\x01"), ("c", 254, b"\xee\xff"))
    more = field(1, b"\x80") + field(6, b"\x02" + texts("x", "y")) + field(5, b"\x01" + texts("z"))
    more += field(10, packed(255)) + field(2, packed(255) + packed(0) + packed(8)) + field(12, b"\xd0")
    hear(Dump().add(gtid(1), BEGIN, table_map(columns=columns, key=(1, 0), more=more)), a_decoder(catalog))
    [schema] = seen
    assert (schema.name, schema.key, schema.named) == ("shop.orders", (1, 0), True)
    n, e, s, c = schema.columns
    assert (n.name, n.type, n.unsigned, n.nullable, n.visible) == ("n", 8, True, True, True)
    assert (e.type, e.meta, e.labels, e.collation, e.visible) == (247, 1, (b"x", b"y"), 255, True)
    assert (s.type, s.meta, s.labels, s.visible) == (248, 1, (b"z",), False)
    # A CHAR of 255 characters of four bytes: two bits of 1020 stand in the type byte.
    assert (c.type, c.meta, c.collation, c.visible) == (254, 0x1FF, 8, True)


def test_composite_keys_without_names() -> None:
    """MINIMAL metadata: the catalog has to know names and key."""
    seen: list[TableSchema] = []

    def catalog(schema: TableSchema) -> Plan | None:
        seen.append(schema)
        return plan_of(schema, Route("t", 1))

    hear(Dump().add(gtid(1), BEGIN, table_map(named=False)), a_decoder(catalog))
    [schema] = seen
    assert (schema.named, schema.key, [column.name for column in schema.columns]) == (False, (), ["", ""])


def test_partitions_by_chosen_columns() -> None:
    """A row that moves to another partition is deleted there and inserted here, whatever its key."""
    route = Route("t", 7)

    def catalog(schema: TableSchema) -> Plan | None:
        return Plan(
            schema,
            route,
            columns=[(column, f'"{column.name}":'.encode(), True) for column in schema.columns],
            insert=[(LITERAL, b"+")],
            update=[(LITERAL, b"~"), (AFTER, b"")],
            delete=[(LITERAL, b"-")],
            key=[(COLUMN, 0)],
            partition=[(COLUMN, 1)],
            partition_hash=0,
        )

    decoder = a_decoder(catalog)
    decoder.feed(Dump().transaction(1, BEGIN, table_map(), rows(UPDATE, image(1, "a"), image(1, "c")), COMMIT).data)
    for _ in range(3):
        decoder.decode(NOW_MS)
    runs = decoder.take_runs()
    assert sorted((keys, values) for _, _, keys, values, _ in runs) == [([b'"1"'], [b"+"]), ([b'"1"'], [b"-"])]
    assert len({partition for _, partition, _, _, _ in runs}) == 2


def test_identities() -> None:
    decoder = a_decoder(id_prefix=b"9")
    decoder.seq = 41
    decoder.feed(Dump().transaction(5, BEGIN, table_map(), rows(WRITE, image(1, "a"), image(2, "b")), COMMIT).data)
    for _ in range(3):
        decoder.decode(NOW_MS)
    [(_, _, _, _, ids)] = decoder.take_runs()
    assert ids == [b"9;42;00112233-4455-6677-8899-aabbccddeeff:5", b"9;43;00112233-4455-6677-8899-aabbccddeeff:5"]


OLD_TIME = (("id", 3, b""), ("t", 11, b""), ("last", 3, b""))
OF_MARIADB = fde("10.11.18-MariaDB-log")


def test_digits_of_an_old_time_are_never_guessed() -> None:
    """MariaDB's TIME of before 10.1 may have a fraction, and no event says so; MySQL's has none."""
    values = struct.pack("<I", 1) + (10203).to_bytes(3, "little") + struct.pack("<I", 7)
    change = rows(WRITE_V1, b"\0" + values, columns=3)
    old = table_map(columns=OLD_TIME)
    assert hear(Dump().transaction(1, BEGIN, old, change, COMMIT)).messages == [
        '+orders "id":"1","t":"01:02:03","last":"7"'
    ]
    with pytest.raises(UnsupportedEvent, match="how many digits"):
        hear(
            Dump().add(OF_MARIADB).transaction(1, BEGIN, old, change, COMMIT), a_decoder(Catalog(frozenset({"orders"})))
        )


@pytest.mark.parametrize(("version", "index"), [("9.7.4", 0), ("11.8.2-MariaDB", 1)])
def test_mariadb_counts_geometry_among_what_has_a_collation(version: str, index: int) -> None:
    """All have the default collation 63 but one, latin1_swedish_ci; it is named by its number among those."""
    catalog = Catalog()
    columns = (("g", 255, b"\x04"), ("t", 15, b"\x09\x00"))
    collations = field(2, packed(63) + packed(index) + packed(8))
    kind, body = table_map(columns=columns, key=())
    plain = field(2, packed(255))
    assert body.count(plain) == 1
    row = rows(WRITE, b"\x00" + struct.pack("<I", 0) + b"\x01\x80")
    dump = Dump().add(fde(version)).transaction(1, BEGIN, (kind, body.replace(plain, collations)), row, COMMIT)
    assert hear(dump, a_decoder(catalog)).messages == ['+orders "g":"","t":"€"']

"""Which of its servers an instance reads from, and how long it waits for one that is behind."""

from typing import Any

import pytest

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.position import Position
from cdcd.config.definition import Definition
from cdcd.errors import Finding, FindingError
from cdcd.mysql.connection import Endpoint
from cdcd.worker import source as module
from cdcd.worker.source import Identity, Source
from tests.servers import MysqlServer
from tests.sinks import until

ELSEWHERE = "5f0c0000-0000-0000-0000-000000000009"
AHEAD = Position(ELSEWHERE, GtidSet.parse(f"{ELSEWHERE}:1-7"), "binlog.000001", 4, 4)
"""Has transactions of a third server, which the source may still get."""


def _source(*endpoints: Endpoint) -> Source:
    definition: dict[str, Any] = {
        "name": "choice",
        "source": {"host": "127.0.0.1", "credential": "c"},
        "tables": {"include": ["shop.*"]},
        "sink": {"topic": "cdc.{database}.{table}"},
    }
    return Source(Definition.model_validate(definition), lambda: list(endpoints), Identity.of("test", "choice"))


def _endpoint(mysql: MysqlServer, port: int | None = None) -> Endpoint:
    return Endpoint(mysql.host, port or mysql.port, mysql.user, mysql.password)


def _refused(source: Source, position: Position) -> Finding:
    source.choose(None)  # as every take-over does first
    with pytest.raises(FindingError) as caught:
        source.choose(position)
    return caught.value.finding


def test_patience_with_a_source_that_is_behind_ends(mysql: MysqlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    known = mysql.query("SELECT @@GLOBAL.gtid_purged")[0][0].replace("\n", "")
    position = Position(ELSEWHERE, GtidSet.parse(",".join(filter(None, [known, str(AHEAD.gtid_set)]))), "", 0, 0)
    source = _source(_endpoint(mysql))
    finding = _refused(source, position)
    assert (finding.code, finding.kind) == ("source-behind", "retry")
    monkeypatch.setattr(module, "BEHIND_LIMIT", 1.0)
    until(lambda: _refused(source, position).kind == "operator", seconds=20)


def test_what_is_wrong_with_each_server_is_told(mysql: MysqlServer) -> None:
    source = _source(_endpoint(mysql), _endpoint(mysql, port=1))
    with pytest.raises(FindingError) as caught:
        source.choose(AHEAD)
    what = caught.value.finding.what
    assert f":{mysql.port}" in what
    assert "127.0.0.1:1 " in what


def test_the_next_server_is_taken_when_the_first_does_not_answer(mysql: MysqlServer) -> None:
    endpoint, status = _source(_endpoint(mysql, port=1), _endpoint(mysql)).choose(None)
    assert endpoint.port == mysql.port
    assert status.server_uuid == mysql.query("SELECT @@GLOBAL.server_uuid")[0][0]

"""Log lines as their reader gets them: form, order, secrets, and a reader that does not read."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from kazoo.handlers.threading import SequentialThreadingHandler

from cdcd.observe.line_length import fitted
from cdcd.observe.log_writer import LogWriter
from cdcd.observe.logging import Logs
from cdcd.observe.redact import HIDDEN, TEXT_LIMIT, Redactor
from cdcd.observe.repeats import MOST_TEXTS, Repeats


@pytest.fixture(autouse=True)
def leave_no_trace() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    logging.basicConfig(force=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def fail(text: str) -> None:
    raise ValueError(text)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_lines_with_the_fixed_keys_first(path: Path) -> None:
    with path.open("w") as stream, Logs(stream, context={"server": "cdc-1", "sync_instance": "orders"}):
        structlog.get_logger().info("instance.acquired", rows=3, reason="the lock was free", gtid="u:7", epoch=2)
    (line,) = lines(path)
    assert list(line) == ["timestamp", "level", "event", "sync_instance", "server", "epoch", "gtid", "reason", "rows"]
    assert line["timestamp"].endswith("Z")
    del line["timestamp"]
    assert line == {
        "level": "info", "event": "instance.acquired", "sync_instance": "orders", "server": "cdc-1", "epoch": 2,
        "gtid": "u:7", "reason": "the lock was free", "rows": 3,
    }  # fmt: skip


def test_context_changes_and_the_line_wins(path: Path) -> None:
    with path.open("w") as stream, Logs(stream, context={"epoch": 1}) as logs:
        log = structlog.get_logger()
        log.info("a")
        logs.context["epoch"] = 2
        log.info("b")
        log.info("c", epoch=9)
    assert [line["epoch"] for line in lines(path)] == [1, 2, 9]


def test_level_can_change_while_running(path: Path) -> None:
    with path.open("w") as stream, Logs(stream, level="warning") as logs:
        log = structlog.get_logger()
        log.info("hidden")
        logging.getLogger("librdkafka").info("hidden")
        log.warning("w")
        logs.set_level("debug")
        log.debug("d")
    assert [line["event"] for line in lines(path)] == ["w", "d"]


def test_the_standard_library_goes_the_same_way(path: Path) -> None:
    with path.open("w") as stream, Logs(stream, level="debug", context={"sync_instance": "orders"}):
        logging.getLogger("librdkafka").warning("broker %s is down", "b1")
        logging.getLogger("broken").error("%d", "no number")
        logging.getLogger("low").debug("x")
        logging.getLogger("lower").log(5, "hidden")
        logging.getLogger("high").critical("y")
    found = [(line["level"], line["event"], line["message"], line["sync_instance"]) for line in lines(path)]
    assert found == [
        ("warning", "librdkafka", "broker b1 is down", "orders"),
        ("error", "broken", "%d ('no number',)", "orders"),
        ("debug", "low", "x", "orders"),
        ("error", "high", "y", "orders"),
    ]


def test_exceptions_are_part_of_the_line(path: Path) -> None:
    with path.open("w") as stream, Logs(stream):
        try:
            fail("what went wrong")
        except ValueError:
            structlog.get_logger().exception("defect")
            logging.getLogger("lib").exception("again")
    first, second = lines(path)
    assert "ValueError: what went wrong" in first["exception"]
    assert "ValueError: what went wrong" in second["exception"]
    assert first["level"] == second["level"] == "error"


def test_secrets_never_appear(path: Path) -> None:
    with path.open("w") as stream, Logs(stream) as logs:
        logs.hide('pa"ss\n')
        logs.hide("")
        logs.hide("text")
        log = structlog.get_logger()
        log.info('text pa"ss\n', nested={"list": ['pa"ss\n'], "password": "x1", 'pa"ss\n': 1}, sasl_password="x2")
        log.info("b", api_token="x3", obj=ValueError('pa"ss\n'), shown=repr('pa"ss\n'), no_password=None)
        logging.getLogger("lib").warning('login with pa"ss\n failed')
        try:
            fail('pa"ss\n')
        except ValueError:
            log.exception("c")
    text = path.read_text()
    assert 'pa\\"ss' not in text
    assert not [secret for secret in ("x1", "x2", "x3") if secret in text]
    assert lines(path)[0]["nested"] == {"list": [HIDDEN], "password": HIDDEN, HIDDEN: 1}
    assert lines(path)[1]["no_password"] is None


def test_odd_values_still_make_a_line(path: Path) -> None:
    with path.open("w") as stream, Logs(stream):
        structlog.get_logger().info(
            "odd",
            big=2**70,
            surrogate="\udcff",
            nan=float("nan"),
            path=Path("/x"),
            many={1},
            long="y" * 99_999,
            b=b"\xff",
        )
    (line,) = lines(path)
    assert line["big"] == str(2**70)
    assert line["surrogate"] == "\\udcff"
    assert (line["nan"], line["path"], line["many"], line["b"]) == (None, "/x", [1], "b'\\xff'")
    assert len(line["long"]) < TEXT_LIMIT + 40


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(_values)
def test_no_value_hides_a_secret_from_the_redactor(value: object) -> None:
    redactor = Redactor()
    redactor.hide("hunter2")
    assert "hunter2" not in json.dumps(redactor.plain({"a": ["hunter2", value, {"x-hunter2-y": "<hunter2>"}]}))


def test_readable_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream, Logs(stream):
        structlog.get_logger().info("instance.acquired", reason="the lock was free", sql="\x1b[2J\x9b\u202e")
        local = "hunter" + str(2)
        try:
            fail("what went wrong" + local[:0])
        except ValueError:
            structlog.get_logger().exception("defect")
    text = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "instance.acquired" in text
    assert "reason='the lock was free'" in text
    assert "ValueError: what went wrong" in text
    assert "hunter2" not in text, "no values of local variables"
    assert "{" not in text
    assert "Remove" not in text, "structlog has nothing to complain of"
    assert "\x9b" not in text
    assert "\u202e" not in text
    assert "\x1b" not in text


def until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_output_nobody_reads_blocks_nobody_and_drops_are_counted() -> None:
    reader, writer = os.pipe()
    logs = Logs(os.fdopen(writer, "w"), limit=50)
    log = structlog.get_logger()
    begun = time.monotonic()
    for n in range(2000):
        log.info("line", n=n, filler="x" * 200)
    assert time.monotonic() - begun < 5
    until(lambda: logs.dropped > 1000)
    dropped = logs.dropped
    numbers, told = [], 0
    with os.fdopen(reader) as stream:
        while told < dropped:
            line = json.loads(stream.readline())
            if line["event"] == "log.dropped":
                told += line["lines"]
            else:
                numbers.append(line["n"])
        log.info("line", n=-1)
        until(lambda: json.loads(stream.readline()).get("n") == -1)
    assert told == dropped == logs.dropped
    assert numbers == sorted(set(numbers))
    logs.close()


def test_a_reader_that_went_away_is_survived() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, Logs(stream) as logs:
        for _ in range(3):
            structlog.get_logger().info("x")
        until(lambda: logs.dropped >= 3)


def test_a_non_blocking_output_gets_whole_lines() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    log_writer = LogWriter(writer, str)
    for n in range(100):
        log_writer.write(f"{n}:" + "x" * 4000)
    with os.fdopen(reader) as stream:
        assert [int(stream.readline().partition(":")[0]) for _ in range(100)] == list(range(100))
    log_writer.close(1)
    os.close(writer)


def test_close_is_bounded() -> None:
    reader, writer = os.pipe()
    log_writer = LogWriter(writer, str)
    for _ in range(100):
        log_writer.write("x" * 4000)
    begun = time.monotonic()
    log_writer.close(0.1)
    assert time.monotonic() - begun < 5
    with os.fdopen(reader, "rb") as stream:
        until(lambda: stream.read(4001) and not log_writer._thread.is_alive())
    os.close(writer)


def test_logs_go_to_the_stream_they_are_given(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with path.open("w") as stream, Logs(stream):
        structlog.get_logger().info("x")
    assert capfd.readouterr() == ("", "")
    assert len(lines(path)) == 1


# ---------------------------------------------------------------- lines that others write to the same pipe, too


CHATTER = """
import sys, structlog
from cdcd.observe.logging import Logs
with Logs(sys.stdout, context={"server": sys.argv[1]}):
    for number in range(60):
        structlog.get_logger().info("long", number=number, exception="line\\n" * 4000, list=["x" * 2000] * 3)
"""


def test_lines_of_several_processes_come_whole() -> None:
    reader, writer = os.pipe()
    command = [sys.executable, "-c", CHATTER]
    processes = [subprocess.Popen([*command, name], stdout=writer) for name in "abcd"]
    os.close(writer)
    with os.fdopen(reader) as stream:
        found = [json.loads(line) for line in stream]
    assert [process.wait() for process in processes] == [0] * 4
    for name in "abcd":
        assert [line["number"] for line in found if line["server"] == name] == list(range(60))


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=600) | st.lists(st.text()) | st.integers(0, 9)))
def test_a_line_fits(event: dict[str, Any]) -> None:
    fits = len(orjson.dumps(event)) <= 1000
    line = fitted(event, 1000)
    assert not fits or json.loads(line) == event
    assert len(line) <= max(1000, 100 * len(event))
    assert set(json.loads(line)) == set(event)


def test_both_ends_of_a_long_text_stay() -> None:
    line = json.loads(fitted({"event": "x", "exception": f"Traceback{'é' * 9000}ValueError: why"}))
    assert line["event"] == "x"
    assert re.fullmatch(r"Tracebacké+ \.\.\.\[\d+ characters left out\]\.\.\. é+ValueError: why", line["exception"])


# ---------------------------------------------------------------- what nobody catches


class Failing:
    def __del__(self) -> None:
        fail("in a destructor")


def test_what_nobody_catches_is_a_line(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hooks = threading.excepthook, sys.unraisablehook
    handler: Any = SequentialThreadingHandler()  # our stub of kazoo knows little of it
    with path.open("w") as stream, Logs(stream):
        thread = threading.Thread(target=fail, args=("in a thread",), name="lag")
        thread.start()
        thread.join()
        del thread
        Failing()
        handler.start()
        handler.completion_queue.put(lambda: fail("in a callback of kazoo"))
        handler.stop()
    found = [(line["event"], line["level"], line["exception"].splitlines()[-1]) for line in lines(path)]
    assert found == [
        ("thread.failed", "error", "ValueError: in a thread"),
        ("callback.failed", "error", "ValueError: in a destructor"),
        ("kazoo.handlers.threading", "error", "ValueError: in a callback of kazoo"),
    ]
    assert "Failing.__del__" in lines(path)[1]["reason"]
    assert lines(path)[0]["thread"] == "lag"
    assert capfd.readouterr() == ("", "")
    assert (threading.excepthook, sys.unraisablehook) == hooks


# ---------------------------------------------------------------- what client libraries repeat


def test_a_client_that_repeats_itself_is_heard_once_a_minute() -> None:
    now = 0.0
    repeats = Repeats(lambda: now)
    refused = "[cdcd#producer-{}] kafka-1:9092: Connection refused (after {}ms in state CONNECT, {} identical)"
    heard = []
    for second in range(180):
        now = float(second)
        heard += [(second, repeats.new(refused.format(second // 7, second, second)))]
        assert (repeats.new("kafka-2:9092: another") is None) == (second % 60 != 0)
    assert [told for told in heard if told[1] is not None] == [(0, 0), (60, 59), (120, 59)]


def test_a_client_that_always_says_something_new_is_bounded_too() -> None:
    now = 0.0
    repeats = Repeats(lambda: now)
    assert sum(repeats.new(f"text {number}") is not None for number in range(1000)) == MOST_TEXTS
    now = 60.0
    assert repeats.new("text 1001") == 0

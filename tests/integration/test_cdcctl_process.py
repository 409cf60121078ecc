"""`cdcctl` as a process: completion, --watch, terminals, and a ZooKeeper that is away, closed, or hostile."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper, ZooKeeperAuth
from cdcd.fleet import paths
from cdcd.fleet.nodes import Status, encode
from cdcd.fleet.registry import ensure_tree
from cdcd.fleet.session import Session
from tests.play import DEFINITION, Play
from tests.waiting import until

LAUNCH = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # as on a terminal: a job in the background inherits that it is ignored
from cdcd.cli.cdcctl import run
run()
"""


def _environment(ensemble: ZooKeeper, **more: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("CDCD_")},
        "CDCD_ZOOKEEPER__HOSTS": ",".join(ensemble.hosts),
        "CDCD_ZOOKEEPER__CHROOT": ensemble.chroot,
        "CDCD_ZOOKEEPER__SESSION_TIMEOUT": "10s",
        **more,
    }


def _run(ensemble: ZooKeeper, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", LAUNCH, *arguments],
        env=_environment(ensemble, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def fleet(play: Play) -> Play:
    play.server("cdc-1")
    for name in ("orders", "other"):
        play.define(name)
    play.runs("orders", "cdc-1")
    return play


# ---------------------------------------------------------------- completion


@pytest.mark.parametrize(
    ("shell", "words"), [("bash", "complete -o nosort -F"), ("zsh", "#compdef cdcctl"), ("fish", "complete --no-files")]
)
def test_the_script_for_a_shell(play: Play, shell: str, words: str) -> None:
    said = play.cdcctl("completion", shell)
    assert said.exit_code == 0
    assert words in said.stdout
    assert "_CDCCTL_COMPLETE" in said.stdout
    assert play.cdcctl("completion", "csh").exit_code == 2


def _completed(ensemble: ZooKeeper, *words: str) -> list[str]:
    line = " ".join(("cdcctl", *words))
    done = _run(ensemble, _CDCCTL_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words)))
    assert done.stderr == ""
    return sorted(each.partition(",")[2] for each in done.stdout.split())


def test_names_are_completed(fleet: Play) -> None:
    """Asked again where there are none: nobody who types is kept waiting for a ZooKeeper that does not answer at once."""

    def names(*words: str) -> list[str]:
        found: list[str] = []

        def ask() -> bool:
            found[:] = _completed(fleet.ensemble, *words)
            return bool(found)

        until(ask, 60)
        return found

    assert names("describe", "o") == ["orders", "other"]
    assert names("move", "orders", "--to", "c") == ["cdc-1"]
    assert names("drain", "c") == ["cdc-1"]
    assert names("get", "servers", "c") == ["cdc-1"]
    assert names("position", "g") == ["get"]
    assert "describe" in names("d")


def test_completion_is_silent_when_zookeeper_is_away(play: Play) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = play.ensemble.model_copy(update={"hosts": (f"127.0.0.1:{closed.getsockname()[1]}",)})
        assert _completed(away, "describe", "o") == []


# ---------------------------------------------------------------- errors


def test_zookeeper_away_and_settings_that_name_none(play: Play, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = play.ensemble.model_copy(update={"hosts": (f"127.0.0.1:{closed.getsockname()[1]}",)})
        done = _run(away, "get", CDCD_ZOOKEEPER__SESSION_TIMEOUT="1s")
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.startswith("error: No session with ZooKeeper (127.0.0.1:")
    assert len(done.stderr.splitlines()) == 2
    none = _run(play.ensemble, "get", CDCD_ZOOKEEPER__HOSTS="")
    assert none.returncode == 5
    assert "zookeeper.hosts" in none.stderr
    settings = tmp_path / "cdcd.toml"
    settings.write_text('server_id = "a"\nzookeper.hosts = []\n')
    wrong = _run(play.ensemble, "get", "--config", str(settings))
    assert (wrong.returncode, "did you mean `zookeeper`?" in wrong.stderr) == (5, True)
    assert _run(play.ensemble, "get", "--config", str(tmp_path / "none")).returncode == 3


def test_no_zookeeper_in_the_settings(play: Play) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CDCD_")}
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH, "get"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "The settings name no ZooKeeper ensemble" in done.stderr
    assert "Set CDCD_ZOOKEEPER__HOSTS" in done.stderr


def test_a_strangers_node_hides_nothing(fleet: Play, tmp_path: Path) -> None:
    (tmp_path / "eve").write_text("{user: eve, password: secret, hosts: ['*']}")
    (tmp_path / "eve").chmod(0o600)
    auth = ZooKeeperAuth(scheme="digest", credential="eve")
    stranger = Session(fleet.ensemble.model_copy(update={"auth": auth}), Credentials(tmp_path), "eve")
    stranger.start()
    stranger.create(paths.definition("closed"), b"{}")
    stranger.close()
    said = fleet.cdcctl("get")
    assert said.exit_code == 0
    assert "orders" in said.stdout
    assert "closed" in said.stdout
    refused = fleet.cdcctl("pause", "closed")
    assert refused.exit_code == 1
    assert "access control list" in refused.stderr


def test_garbage_in_every_node_is_no_traceback(fleet: Play) -> None:
    nodes = [
        paths.definition("orders"), paths.schedule("orders"), paths.status("orders"), paths.position("orders"),
        paths.epoch("orders"), paths.load("cdc-1"),
    ]  # fmt: skip
    fleet.session.create(paths.request("orders"), b"x")
    for garbage in (b"\xff\x00", b"[]", b'{"v":1,"at":"\\u001b[2J","events":7,"server":[]}', b"{" * 5000):
        for path in nodes:
            fleet.session.set(path, garbage)
        for arguments in (
            ["get"], ["get", "servers"], ["describe", "orders"], ["describe", "server", "cdc-1"], ["events"], ["top"],
            ["plan"], ["get", "-o", "json"], ["describe", "orders", "-o", "yaml"],
        ):  # fmt: skip
            said = fleet.cdcctl(*arguments)
            assert said.exit_code == 0, (arguments, said.stderr)
            assert "\x1b" not in said.stdout


def test_records_that_hold_anything(fleet: Play) -> None:
    hostile = {"file": "\x1b[2J", "gtid_set": ["\x1b"], "txn": {"a": 1}, "seq": None, "end_offset": "\u202e"}
    mirror = {"v": 1, "epoch": 7, "at": 1e300, "record": hostile}
    fleet.session.set(paths.position("orders"), json.dumps(mirror).encode())
    fleet.session.set(
        paths.status("orders"),
        encode(Status("run\x1b[2Jning", -1e300, 0.0, "\x1b", finding={"what": "\x1b"}, events=({"at": "\x9b"},))),
    )
    for arguments in (
        ["describe", "orders"],
        ["position", "get", "orders"],
        ["events"],
        ["describe", "orders", "-o", "json"],
    ):
        said = fleet.cdcctl(*arguments)
        assert said.exit_code == 0, said.stderr
        assert said.stdout.replace("\n", "").isprintable()


# ---------------------------------------------------------------- watching


@pytest.fixture
def watching(fleet: Play) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", LAUNCH, "get", "--watch", "--interval", "100ms", "-o", "json"],
        env=_environment(fleet.ensemble), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    process.kill()
    process.wait()


def test_watch_prints_what_changes_and_ends_quietly(fleet: Play, watching: "subprocess.Popen[str]") -> None:
    assert watching.stdout is not None
    assert watching.stderr is not None
    first = [json.loads(watching.stdout.readline()) for _ in range(2)]
    assert [(each["name"], each["state"]) for each in first] == [("orders", "running"), ("other", "unassigned")]
    fleet.schedule("other", "cdc-1", "least load")
    changed = json.loads(watching.stdout.readline())
    assert (changed["name"], changed["state"], changed["server"]) == ("other", "assigned", "cdc-1")
    watching.send_signal(signal.SIGINT)
    assert watching.wait(30) == 0
    assert len(watching.stderr.read().splitlines()) == 1  # of the open tree


def test_events_are_followed(fleet: Play) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", LAUNCH, "events", "--watch", "--interval", "100ms", "-o", "json"],
        env=_environment(fleet.ensemble), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        events: list[dict[str, str]] = []
        for number in range(3):
            events.append({"at": f"2026-11-22T20:00:0{number}Z", "event": f"instance.{number}", "reason": "x"})
            status = Status("running", 1.0, 1.0, "cdc-1", 7, events=tuple(events))
            fleet.session.set(paths.status("orders"), encode(status))
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["event"] == f"instance.{number}"
    finally:
        process.kill()
        process.wait()


# ---------------------------------------------------------------- a terminal


@pytest.mark.parametrize(("answer", "status", "ordered"), [("n\n", 1, False), ("y\n", 0, True)])
def test_a_terminal_is_asked(fleet: Play, answer: str, status: int, ordered: bool) -> None:
    fleet.define("orders", paused=True)
    fleet.stops("orders")
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, "position", "set", "orders", "earliest"],
        env=_environment(fleet.ensemble), stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True,
    )  # fmt: skip
    os.close(theirs)
    said = b""

    def asked() -> bool:
        nonlocal said
        said += os.read(mine, 4096)
        return b"Set the position of orders? [y/N]" in said

    until(asked, 60)
    os.write(mine, answer.encode())
    assert process.wait(60) == status
    os.close(mine)
    assert b"everything up to the stored position that the source still has" in said
    assert (fleet.request("orders") is not None) is ordered


def test_top_on_a_terminal_refreshes_until_it_is_interrupted(fleet: Play) -> None:
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, "top", "--interval", "100ms"],
        env=_environment(fleet.ensemble, TERM="xterm", COLUMNS="100", LINES="30"),
        stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(theirs)
    said = b""

    def shown(*words: bytes) -> bool:
        nonlocal said
        said += os.read(mine, 65536)
        return all(word in said for word in words)

    until(lambda: shown(b"cdcctl top", b"orders", b"cdc-1", b"running"), 60)
    said = b""
    fleet.runs("other", "cdc-1")
    until(lambda: shown(b"other"), 60)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    os.close(mine)


# ---------------------------------------------------------------- a tree that is not open


def test_a_login_and_no_warning(play: Play, tmp_path: Path) -> None:
    credential = tmp_path / "ada"
    credential.write_text("{user: ada, password: secret, hosts: ['*']}")
    credential.chmod(0o600)
    login = {
        "CDCD_ZOOKEEPER__AUTH": '{"scheme": "digest", "credential": "ada"}',
        "CDCD_CREDENTIALS_DIR": str(tmp_path),
        "CDCD_ZOOKEEPER__CHROOT": "/closed",
    }
    closed = play.ensemble.model_copy(
        update={"chroot": "/closed", "auth": ZooKeeperAuth(scheme="digest", credential="ada")}
    )
    session = Session(closed, Credentials(tmp_path), "ada")
    session.start()
    ensure_tree(session, "shop")
    session.create(paths.definition("orders"), json.dumps({"name": "orders", **DEFINITION}).encode())
    session.close()
    told = _run(play.ensemble, "pause", "orders", **login)
    assert (told.returncode, told.stdout, told.stderr) == (0, "orders paused\n", "")
    stranger = _run(play.ensemble, "get", CDCD_ZOOKEEPER__CHROOT="/closed")
    assert (stranger.returncode, stranger.stdout) == (1, "")
    assert "access control list" in stranger.stderr


# ---------------------------------------------------------------- plan


def test_plan_says_what_the_scheduler_would_do(fleet: Play) -> None:
    said = fleet.cdcctl("plan")
    assert said.exit_code == 0
    assert "other" in said.stdout
    read = json.loads(fleet.cdcctl("plan", "-o", "json").stdout)
    assert set(read["loads"]) == {"cdc-1"}
    fleet.gone("cdc-1")
    assert "nobody acts on this plan" in fleet.cdcctl("plan").stderr

"""Secrets and values of rows that must appear nowhere: everything that talks is made to talk, and all it said is searched.

The fleet logs in with passwords of odd characters to MySQL, Kafka (SCRAM) and ZooKeeper (digest), at log level debug;
logins fail, hosts are away, rows cannot be published, settings and definitions are wrong and hold passwords, workers fail
with tracebacks, processes are ended by signals that leave core files.
"""

import json
import os
import re
import resource
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from cdcd.cli.cdcctl import main as cdcctl
from deploy.rig.fleet import Server
from deploy.rig.process import LAUNCH, plain_environment, until
from deploy.rig.topics import read_records, topics_like
from deploy.rig.worker import write_credential
from tests.canaries import Canary, leaks
from tests.certificates import Authority
from tests.locks import ROOT
from tests.servers import KafkaFactory, KafkaServer, MysqlServer, ZookeeperServer

pytestmark = pytest.mark.must_show("6.5")

USER = "canary"
SECRETS = {
    "MySQL's password": Canary("MySqLkAnArIe93"),
    "a wrong password for MySQL": Canary("wRoNgKaNaRiE41"),
    "Kafka's password": Canary("KaFkAkAnArIe57"),
    "a wrong password for Kafka": Canary("bRoKeRkAnArIe68"),
    "ZooKeeper's password": Canary("zOoKaNaRiE2975"),
    "a password in a wrong place": Canary("mIsPlAcEdBiRd6"),
}
ROWS = {"a row's value": Canary("rOwVaLuEkAnArIe")}
SCRAM = {
    "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
    "listener.name.sasl.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
}
DOCUMENTED = (ROOT / "docs/security.md").read_text()
"""Its accounts get the rights that it names, and no more."""
TABLES = ("sound", "huge", "textual")
CTL = "import sys; from cdcd.cli.cdcctl import run; sys.argv[0] = 'cdcctl'; run()"
MISPLACED = SECRETS["a password in a wrong place"].text
WORD = SECRETS["a password in a wrong place"].kernel
VALUE = ROWS["a row's value"]


@dataclass
class Scene:
    """One server of a fleet, its instances, and what is remembered of all that was said."""

    folder: Path
    mysql: MysqlServer
    kafka: KafkaServer
    zookeeper: ZookeeperServer
    database: str
    private_key: bytes
    traces: dict[str, bytes] = field(default_factory=dict)
    cores: set[Path] = field(default_factory=set)

    @property
    def settings(self) -> Path:
        return self.folder / "cdcd.toml"

    @property
    def environment(self) -> dict[str, str]:
        return plain_environment() | {"TMPDIR": str(self.folder / "tmp")}

    def write_settings(self, more: str = "", zookeeper: str = "zookeeper") -> Path:
        sasl = f'bootstrap_servers = ["{self.kafka.sasl.bootstrap}"]\nsasl.credential'
        self.settings.write_text(
            f'cluster = "prod"\nserver_id = "a"\nlog_level = "debug"\nhttp.port = 0\n'
            f'credentials_dir = "{self.folder}/credentials"\n'
            f'[zookeeper]\nhosts = ["{self.zookeeper.hosts}"]\nsession_timeout = "10s"\nchroot = "/canaries"\n'
            f'auth = {{scheme = "digest", credential = "{zookeeper}"}}\n'
            f'[scheduling]\nsettle = "0s"\n[fleet]\nstart_attempts = 100\n'
            f'[kafka.default]\n{sasl} = "kafka"\n'
            f'[kafka.refused]\n{sasl} = "kafka-wrong"\n'
            f'[kafka.elsewhere]\n{sasl} = "kafka-elsewhere"\n'
            f'[kafka.small]\n{sasl} = "kafka"\nmessage_max_bytes = "1KiB"\n{more}\n'
        )
        return self.settings

    def run(self, place: str, *command: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
        """One command to its end; what it said is remembered under `place`."""
        done = subprocess.run(
            [sys.executable, "-c", CTL if command[0] == "cdcctl" else LAUNCH, *command[1:]],
            env=self.environment | environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        self.traces[f"{place}: status {done.returncode}, standard output"] = done.stdout
        self.traces[f"{place}: standard error"] = done.stderr
        return done

    def ctl(self, *command: str) -> "subprocess.CompletedProcess[bytes]":
        return self.run(f"cdcctl {' '.join(command)}", "cdcctl", *command, "--config", str(self.settings))

    def look(self, *command: str) -> None:
        """A verb that only reads, in this process: that is quicker, and it says the same."""
        done = CliRunner().invoke(cdcctl, [*command, "--config", str(self.settings)])
        self.traces[f"cdcctl {' '.join(command)}"] = (
            done.stdout_bytes + done.stderr_bytes + repr(done.exception).encode()
        )

    def definition(self, name: str, **sections: Mapping[str, Any]) -> dict[str, Any]:
        """Of a table of that name, in a database of its own: a statement in the binlog may be about any table of its database."""
        base: dict[str, dict[str, Any]] = {
            "source": {"host": self.mysql.host, "port": self.mysql.port, "credential": "mysql"},
            "tables": {"include": [f"{self.database}_{name}.t"]},
            "sink": {"topic": f"cdc.{name}", "create": {"partitions": 1, "replication": 1}},
        }
        merged = {section: {**base[section], **sections.get(section, {})} for section in base}
        return {"version": 1, "name": name, **merged}

    def write(self, document: Mapping[str, Any]) -> str:
        path = self.folder / "inputs" / f"{document['name']}.yaml"
        path.write_text(yaml.safe_dump(dict(document), allow_unicode=True))
        return str(path)

    def table(self, name: str) -> None:
        database = f"{self.database}_{name}"
        self.mysql.run(
            f"CREATE DATABASE {database}",
            f"CREATE TABLE {database}.t (id INT PRIMARY KEY, v TEXT CHARACTER SET utf8mb4)",
        )

    def change(self, name: str, value: str) -> None:
        with self.mysql.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"REPLACE INTO {self.database}_{name}.t VALUES (1, %s)", (value,))


def password(name: str) -> str:
    return SECRETS[name].text


def write_credentials(scene: Scene) -> None:
    mysql, kafka = f"{scene.mysql.host}:{scene.mysql.port}", scene.kafka.sasl.bootstrap
    for name, secret, host in (
        ("mysql", "MySQL's password", mysql),
        ("mysql-away", "MySQL's password", "127.0.0.1:1"),
        ("mysql-wrong", "a wrong password for MySQL", mysql),
        ("mysql-elsewhere", "MySQL's password", "mysql-b:3306"),
        ("kafka", "Kafka's password", kafka),
        ("kafka-wrong", "a wrong password for Kafka", kafka),
        ("kafka-elsewhere", "Kafka's password", "broker-b:9092"),
        ("zookeeper", "ZooKeeper's password", scene.zookeeper.hosts),
        ("zookeeper-wrong", "a password in a wrong place", scene.zookeeper.hosts),
    ):
        write_credential(scene.folder, name, (USER, password(secret)), host)
    folder = scene.folder / "credentials"
    quoted = json.dumps(MISPLACED)
    broken = {
        "cut-off": f'user: u\npassword: "{WORD}',
        "listed": f"{{user: u, password: [{quoted}], hosts: [db]}}",
        "no-hosts": f"{{user: u, password: {quoted}, hosts: {quoted}}}",
        "bad-hosts": f"{{user: u, password: x, hosts: [{quoted}]}}",
        "twice": f"{{user: u, password: {quoted}, password: {quoted}}}",
        "shifted": f"user: u\npassword:\n{SECRETS['a password in a wrong place'].kernel}: hosts",
        "url": f"mysql://u:{SECRETS['a password in a wrong place'].kernel}@db:3306",
    }
    for name, text in broken.items():
        (folder / name).touch(0o600)
        (folder / name).write_text(text)
    client = Authority(scene.folder / "inputs").sign(USER, "client")
    for name, path in (("authority", scene.mysql.ca), ("client-cert", client.cert), ("client-key", client.key)):
        (folder / name).touch(0o600)
        (folder / name).write_bytes(path.read_bytes())
    scene.private_key = client.key.read_bytes().splitlines()[1][:60]


def make_accounts(scene: Scene) -> None:
    with scene.mysql.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER '{USER}'@'%%' IDENTIFIED BY %s", (password("MySQL's password"),))
        for grant in re.findall(r"^GRANT .*;$", DOCUMENTED, re.MULTILINE):
            own = grant.replace("'cdcd'@'10.0.0.%'", f"'{USER}'@'%'").replace("`shop`", f"`{scene.database}\\_%`")
            cursor.execute(own)
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    upsertion = UserScramCredentialUpsertion(USER, scram, password("Kafka's password").encode())
    admin = AdminClient({"bootstrap.servers": scene.kafka.bootstrap})
    given = [
        *admin.alter_user_scram_credentials([upsertion]).values(),
        *admin.create_acls(documented_rights()).values(),
    ]
    for done in given:
        done.result(30)


def documented_rights() -> list[AclBinding]:
    """What the commands of docs/security.md say."""
    kinds = {"topic": ResourceType.TOPIC, "transactional-id": ResourceType.TRANSACTIONAL_ID}
    operations = {each.name.replace("_", "").lower(): each for each in AclOperation}
    prefixed, allow = ResourcePatternType.PREFIXED, AclPermissionType.ALLOW
    return [
        AclBinding(kinds[kind], name, prefixed, f"User:{USER}", "*", operations[operation.lower()], allow)
        for kind, name, rest in re.findall(r"prefixed --(\S+) (\S+)( --operation .*)", DOCUMENTED)
        for operation in re.findall(r"--operation (\w+)", rest)
    ]


@pytest.fixture(scope="module")
def scene(
    mysql: MysqlServer, kafka_server: KafkaFactory, zookeeper: ZookeeperServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("canaries")
    for each in ("tmp", "inputs"):
        (folder / each).mkdir()
    kafka = kafka_server(SCRAM, sasl=True)
    made = Scene(folder, mysql, kafka, zookeeper, f"canaries_{secrets.token_hex(3)}", b"")
    make_accounts(made)
    write_credentials(made)
    yield made
    databases = [f"DROP DATABASE IF EXISTS {made.database}_{name}" for name in TABLES]
    mysql.run(f"DROP USER '{USER}'@'%'", *databases)


# ---------------------------------------------------------------- what is made to talk

EXPECTED = {
    "sound": "running",
    "denied": "access-denied",
    "away": "source-unreachable",
    "elsewhere": "credential-host",
    "keyed": "",
    "broker-denied": "kafka-credentials",
    "broker-elsewhere": "credential-host",
    "huge": "message-too-large",
    "textual": "event-unsupported",
    **dict.fromkeys(("cut-off", "listed", "no-hosts", "bad-hosts", "twice", "shifted", "url"), "credential-invalid"),
}
"""Instance -> state or code of the finding that it comes to; empty: any."""


def define(scene: Scene) -> None:
    tls = {"mode": "verify-ca", "ca": "authority", "cert": "client-cert", "key": "client-key"}
    sections: dict[str, dict[str, Any]] = {
        "sound": {},
        "denied": {"source": {"credential": "mysql-wrong"}},
        "away": {"source": {"credential": "mysql-away", "port": 1}},
        "elsewhere": {"source": {"credential": "mysql-elsewhere"}},
        "keyed": {"source": {"tls": tls}},
        "broker-denied": {"sink": {"kafka": "refused"}},
        "broker-elsewhere": {"sink": {"kafka": "elsewhere"}},
        "huge": {"sink": {"kafka": "small"}},
        "textual": {},
        **{name: {"source": {"credential": name}} for name in EXPECTED if EXPECTED[name] == "credential-invalid"},
    }
    files = [scene.write(scene.definition(name, **given)) for name, given in sections.items()]
    applied = scene.ctl("apply", *(part for file in files for part in ("-f", file)))
    assert applied.returncode == 0, applied.stderr


def change_rows(scene: Scene) -> None:
    scene.change("sound", VALUE.text)
    scene.change("huge", VALUE.text * 100)
    scene.mysql.run(
        "SET SESSION binlog_format = 'STATEMENT'",
        f"INSERT INTO {scene.database}_textual.t VALUES (1, '{VALUE.kernel}')",
    )


def content(tree: KazooClient, path: str) -> dict[str, Any]:
    found = json.loads(tree.get(path)[0]) if tree.exists(path) else {}
    assert isinstance(found, dict)
    return found


def came_to(tree: KazooClient, name: str) -> bool:
    status, schedule = content(tree, f"/canaries/state/{name}/status"), content(tree, f"/canaries/schedule/{name}")
    codes = {(each or {}).get("code") for each in (status.get("finding"), schedule.get("parked"))}
    return EXPECTED[name] in {*codes, status.get("state"), ""}


def misplace(scene: Scene, server: Server, tree: KazooClient) -> None:
    """Passwords where none belongs: in settings, definitions, addresses."""
    wrong = {
        "unclosed": f'[kafka.more]\nsasl.password = "{WORD}',
        "field": f"[kafka.more]\nsasl.password = {json.dumps(WORD)}",
        "address": f'[kafka.more]\nbootstrap_servers = ["{USER}:{WORD}@broker:9092"]',
        "option": f'[kafka.more]\nbootstrap_servers = ["b:1"]\n[kafka.more.options]\n"sasl.password" = "{WORD}"',
        "name": f'[kafka.more]\nbootstrap_servers = ["b:1"]\nsasl.credential = "{WORD}"',
    }
    for name, more in wrong.items():
        before = len(server.out.read_bytes())
        scene.write_settings(more)
        server.signal(signal.SIGHUP)
        until(lambda b=before: b"settings.refused" in server.out.read_bytes()[b:], f"settings {name} are refused")  # type: ignore[misc]
    scene.run("wrong settings", "cdcd", "check-config", "--config", str(scene.settings))
    environment = {"CDCD_KAFKA__DEFAULT__SASL": f"{{password: {WORD}"}
    scene.run("environment", "cdcd", "check-config", "--config", str(scene.write_settings()), **environment)
    sources: tuple[dict[str, Any], ...] = (
        {"password": MISPLACED},
        {"host": f"mysql://{USER}:{WORD}@db"},
        {"hosts": [f"{USER}:{WORD}@db:3306"]},
        {"credential": MISPLACED},
        {"tls": {"key": MISPLACED}},
    )
    files: list[str] = []
    for number, source in enumerate(sources):
        document = scene.definition(f"misplaced-{number}", source=source)
        files.append(scene.write(document))
        tree.create(f"/canaries/instances/misplaced-{number}", json.dumps(document).encode())
    given = [part for file in files for part in ("-f", file)]
    for verb in (("apply", *given), ("preflight", *given)):
        assert scene.ctl(*verb).returncode == 5
    until(lambda: server.out.read_bytes().count(b'"definition.invalid"') >= len(sources), "all get a verdict")


def run_alone(scene: Scene) -> None:
    """`cdcd run --standalone` and `cdcd tail`, well and badly."""
    tables = {"include": [f"{scene.database}_sound.t"]}
    sound = scene.write(scene.definition("alone", tables=tables) | {"start": "earliest"})
    denied = scene.write(scene.definition("denied-alone", source={"credential": "mysql-wrong"}))
    common = ("cdcd", "run", "--config", str(scene.settings), "--until-end", "--standalone")
    failing = {"CDCD_TESTING": "1", "CDCD_FAILPOINT": "kafka.before_commit=error"}
    assert b"Traceback" in scene.run("alone, failing", *common, sound, **failing).stdout
    assert scene.run("alone, denied", *common, denied).returncode == 1
    assert scene.run("wrong file", *common, str(scene.folder / "credentials" / "url")).returncode == 5
    tail = ("cdcd", "tail", "--host", scene.mysql.host, "--port", str(scene.mysql.port), "--user", USER, "--until-end",
            "--tables", f"{scene.database}_sound.t", "--password-env", "MYSQL_PWD")  # fmt: skip
    assert scene.run("tail", *tail, MYSQL_PWD=password("MySQL's password")).returncode == 0
    assert scene.run("tail, denied", *tail, MYSQL_PWD=password("a wrong password for MySQL")).returncode == 1


def ask_everything(scene: Scene) -> None:
    verbs = [("get",), ("get", "servers"), ("describe", "server", "a"), ("events",), ("plan",), ("top",),
             ("position", "get", "sound"), *(("describe", name) for name in ("denied", "huge", "misplaced-0"))]  # fmt: skip
    for verb in verbs:
        for style in ("json", "yaml", "table"):
            scene.look(*verb, "-o", style)
    scene.ctl("preflight", "denied", "broker-denied", "cut-off", "-o", "json")
    assert scene.ctl("preflight", "sound", "-o", "json").returncode == 0, "the rights of docs/security.md are enough"
    for style in ("text", "json"):
        scene.run(f"check-config {style}", "cdcd", "check-config", "--config", str(scene.settings), "-o", style)


def abort(scene: Scene, server: Server, worker: int) -> None:
    """End both by a signal that leaves a core file where the kernel may write one; it would lie in their working folder."""
    before = set(Path.cwd().glob("core*"))
    for pid in (worker, server.pid):
        with suppress(PermissionError):  # without root's rights the limit stays what it is
            resource.prlimit(pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        os.kill(pid, signal.SIGABRT)
        until(lambda p=pid: p not in server.group(), "it ends")  # type: ignore[misc]
    scene.cores = set(Path.cwd().glob("core*")) - before


# ---------------------------------------------------------------- what was said


def everything_in_zookeeper(tree: KazooClient, path: str = "/canaries") -> Iterator[tuple[str, bytes]]:
    try:
        found = tree.get(path)[0] + repr(tree.get_acls_async(path).get(timeout=10)[0]).encode()
        children = tree.get_children(path)
    except NoNodeError:  # the lock of a worker that has just ended
        return
    yield path, found
    for child in children:
        if not child.startswith("misplaced-") or path != "/canaries/instances":
            yield from everything_in_zookeeper(tree, f"{path}/{child}")


def everything_of_processes(pids: set[int]) -> Iterator[tuple[str, bytes]]:
    for pid in pids:
        for name in ("cmdline", "environ"):
            with suppress(
                PermissionError, FileNotFoundError, ProcessLookupError
            ):  # to who is not root; it ended meanwhile
                yield f"/proc/{pid}/{name}", Path(f"/proc/{pid}/{name}").read_bytes()


def everything_in_files(scene: Scene) -> Iterator[tuple[str, bytes]]:
    given = {scene.settings, *(scene.folder / "inputs").iterdir(), *(scene.folder / "credentials").iterdir()}
    for path in scene.folder.rglob("*"):
        if path.is_file() and path not in given:
            yield str(path.relative_to(scene.folder)), path.read_bytes()


def everything_in_kafka(scene: Scene) -> Iterator[tuple[str, bytes]]:
    ours = ("cdc.", "__cdcd")
    topics = [topic for prefix in ours for topic in topics_like(scene.kafka.bootstrap, prefix)]
    for record in read_records(scene.kafka.bootstrap, topics, "read_uncommitted"):
        yield f"topic {record.topic}, {record.offset}", b"%b %b" % (record.key or b"", record.value)


@pytest.fixture(scope="module")
def said(scene: Scene) -> dict[str, bytes]:
    """Place -> what was found there."""
    login = ":".join((USER, password("ZooKeeper's password")))
    tree = KazooClient(scene.zookeeper.hosts, auth_data=[("digest", login)])
    tree.start()
    command = [sys.executable, "-c", LAUNCH, "run", "--config", str(scene.write_settings())]
    server = Server("a", command, scene.environment, scene.folder / "server")
    try:
        until(lambda: b'"server.registered"' in server.out.read_bytes(), "it registers")
        server.port = next(
            int(line["reason"].rpartition(":")[2]) for line in server.log() if line["event"] == "process.started"
        )
        for name in TABLES:
            scene.table(name)
        define(scene)
        for name in TABLES:
            path = f"/canaries/state/{name}/status"
            until(lambda p=path: tree.exists(p) and b'"running"' in tree.get(p)[0], f"{name} runs")  # type: ignore[misc]
        change_rows(scene)
        for name, end in EXPECTED.items():
            until(lambda n=name: came_to(tree, n), f"{name} comes to {end}\n{server.said()}")  # type: ignore[misc]
        misplace(scene, server, tree)
        run_alone(scene)
        ask_everything(scene)
        found = dict(everything_in_zookeeper(tree)) | {
            path: (server.get(path) or "").encode() for path in ("/status", "/metrics")
        }
        found |= dict(everything_of_processes(server.group()))
        abort(scene, server, int(content(tree, "/canaries/state/sound/running")["pid"]))
    finally:
        server.kill_all()
        tree.stop()
        tree.close()
    wrong = scene.write_settings(zookeeper="zookeeper-wrong")
    scene.run("another login", "cdcctl", "get", "--config", str(wrong))
    return scene.traces | found | dict(everything_in_files(scene)) | dict(everything_in_kafka(scene))


def test_no_secret_is_said(scene: Scene, said: dict[str, bytes]) -> None:
    assert len(said) > 100
    assert not leaks(said, SECRETS)
    assert not [place for place, content in said.items() if scene.private_key in content]


def test_no_value_of_a_row_is_said(said: dict[str, bytes]) -> None:
    """But where rows are published, or printed."""
    published = {place for place in said if place.startswith(("topic cdc.", "tail: status 0, standard output"))}
    assert leaks({place: said[place] for place in published}, ROWS)
    assert not leaks({place: content for place, content in said.items() if place not in published}, ROWS)


def test_no_core_file_is_left(scene: Scene, said: dict[str, bytes]) -> None:
    assert not scene.cores

"""Every command of the documentation's `console` blocks is run, on real servers, and what it prints is compared with what is shown.

What is not run here stands in LEFT, with the reason. What takes minutes stands in LONG: `make prove` runs it.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import zstandard
from confluent_kafka.admin import AdminClient

from deploy.rig.process import free_port, until
from deploy.rig.topics import read_committed, topics_like
from tests.console import Command, Reader, fenced, missing
from tests.instances import Figures
from tests.monitoring import ROOT
from tests.servers import KafkaServer, MysqlFactory, MysqlServer, ZookeeperFactory

OTHER_TESTS = "test_systemd.py has the unit, and what systemd thinks of it"
KAFKAS_TOOLS = "Kafka's own tools are not among what deploy/stack gets; the tests read the topics themselves"
LEFT = {
    "README.md": {
        "make demo": "`make prove` runs it (3.1, 4.8, 6.6)",
        "make test": "it is what runs here",
        "python3 -m venv": "as in the quickstart, which `make prove` follows",
    },
    "docs/quickstart.md": {"kafka-console-consumer.sh": KAFKAS_TOOLS},
    "docs/findings.md": {"kafka-console-consumer.sh": KAFKAS_TOOLS, "kafka-topics.sh": KAFKAS_TOOLS},
    "docs/install.md": {
        "useradd": "needs root",
        "ln -s /opt": "needs root",
        "cp cdcd.service": OTHER_TESTS,
        "systemctl": OTHER_TESTS,
        "python3 -m venv /opt/cdcd/0.2.0": "there is no such version yet; the same as with 0.1.0",
        "/opt/cdcd/0.2.0/bin/pip": "the same",
        "ln -sfn 0.2.0": "the same",
        "cdcctl drain": "docs/fleet.md has it",
        "cdcctl uncordon": "docs/fleet.md has it",
        "until curl": "test_http.py asks /readyz",
        "docker compose up": "no engine runs here; test_compose.py runs the same settings as plain processes",
    },
}
LONG = {
    "docs/quickstart.md": ("git clone", "python3 -m venv"),
    "docs/install.md": (
        "python3 -m venv build",
        "build/wheel",
        "python3 -m venv /opt/cdcd/0.1.0",
        "/opt/cdcd/0.1.0",
        "ln -sfn 0.1.0",
    ),
}
RUN = "cdcd run --standalone orders.yaml"
NOT_PLAYED = {
    "docs/development.md": "the workbench of developers",
    "docs/security.md": "Kafka's own tools; test_kafka_rights.py has the rights that are asked for there",
}
PAGES = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
WITH_COMMANDS = {page for page in PAGES if fenced(page, "console")}
SHIM = f"""\
#!{sys.executable}
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
import cdcd.config.settings as settings
settings.DEFAULT_FILE = Path({{file!r}})
from cdcd.cli.{{name}} import {{main}} as main
sys.argv[0] = {{name!r}}
sys.exit(main())
"""
"""The command of this tree, as if `file` were /etc/cdcd/cdcd.toml."""


def left(page: str, text: str) -> bool:
    return text.startswith((*LEFT.get(page, {}), *LONG.get(page, ())))


def left_at_last(page: str, text: str) -> bool:
    """When there are minutes."""
    return text.startswith(tuple(LEFT.get(page, {})))


@pytest.fixture(scope="module")
def source(mysql_server: MysqlFactory) -> MysqlServer:
    return mysql_server()


@pytest.fixture
def shop(source: MysqlServer) -> Iterator[MysqlServer]:
    """A server with the table that the pages tell of, and a binlog that begins with it."""
    source.query("RESET BINARY LOGS AND GTIDS")
    source.run(
        "CREATE DATABASE shop",
        "CREATE TABLE shop.customer (id INT UNSIGNED PRIMARY KEY, name VARCHAR(60), city VARCHAR(40), joined DATETIME(3))",
        "INSERT INTO shop.customer VALUES (1004, 'Anne', 'Zürich', '2026-11-01 10:00:00.500')",
    )
    yield source
    source.run("DROP DATABASE shop", "DROP USER IF EXISTS cdcd")


@pytest.fixture
def broker(kafka: KafkaServer) -> Iterator[KafkaServer]:
    """The shared broker, without what the pages' instances publish."""

    def clear() -> None:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 2})
        theirs = ("cdc.shop.customer", "cdc.orders.", "__cdcd_positions.default.orders", "__cdcd_positions.prod.orders")
        names = [name for start in theirs for name in topics_like(kafka.bootstrap, start)]
        for deleted in admin.delete_topics(names).values() if names else ():
            deleted.result(30)
        until(lambda: not any(topics_like(kafka.bootstrap, start) for start in theirs), "the topics are gone")

    clear()
    yield kafka
    clear()


class Place:
    """A machine as the pages mean it: commands in PATH, /etc/cdcd, a client that reaches MySQL as root."""

    def __init__(self, folder: Path, mysql: MysqlServer, kafka: KafkaServer, zookeeper: str = "") -> None:
        self.folder, self.mysql, self.kafka = folder, mysql, kafka
        self.port = free_port()
        client = f"host={mysql.host}\nport={mysql.port}\nuser={mysql.user}\npassword={mysql.password}\n"
        (folder / ".my.cnf").write_text(f"[client]\n{client}")
        self.replaced = {
            "zk1:2181,zk2:2181,zk3:2181": zookeeper,
            '"zk1:2181", "zk2:2181", "zk3:2181"': f'"{zookeeper}"',
            "zk1:2181": zookeeper,
            '"kafka1:9092", "kafka2:9092"': f'"{kafka.bootstrap}"',
            "127.0.0.1:9092": kafka.bootstrap,
            "mysql-a:3306": f"127.0.0.1:{mysql.port}",
            "127.0.0.1:3306": f"127.0.0.1:{mysql.port}",
            "port: 3306": f"port: {mysql.port}",
            "  host: 127.0.0.1\n  credential": f"  host: 127.0.0.1\n  port: {mysql.port}\n  credential",
            "--host 127.0.0.1": f"--host 127.0.0.1 --port {mysql.port}",
            "--host mysql-a": f"--host 127.0.0.1 --port {mysql.port}",
            "MYSQL_PWD=...": "MYSQL_PWD='correct horse'",
            "--host db1 ": "",
            "-h mysql-a -u cdcd -p ": "",
            "9464": str(self.port),
            "/etc/cdcd": f"{folder}/etc/cdcd",
            "/archive/": f"{folder}/archive/",
            "<this repository>": str(ROOT),
            "jq -c": "jq --unbuffered -c",  # as at a terminal
        }

    def reader(self, environment: Mapping[str, str] | None = None, *, long: bool = False) -> Reader:
        """`long`: what takes minutes is run as well, and cdcd is what it installs."""
        path = str(self.mysql.bin_dir)
        if not long:
            for name, main in (("cdcd", "main"), ("cdcctl", "run")):
                shim = self.folder / "bin" / name
                shim.parent.mkdir(exist_ok=True)
                shim.write_text(SHIM.format(file=f"{self.folder}/etc/cdcd/cdcd.toml", name=name, main=main))
                shim.chmod(0o755)
            path = f"{self.folder}/bin:{path}"
        ours = {"CREDENTIALS_DIRECTORY": f"{self.folder}/etc/cdcd/credentials", "CDCD_HTTP__PORT": str(self.port)}
        return Reader(self.folder, path, self.replaced, left_at_last if long else left, ours | dict(environment or {}))


@pytest.fixture
def readers() -> Iterator[list[Reader]]:
    """They are stopped at the end; of the pages that a test begins it has to play every block."""
    made: list[Reader] = []
    yield made
    for reader in made:
        reader.close()


def accounts(page: str, server: MysqlServer) -> None:
    """Run the page's SQL, as an administrator would."""
    for block in fenced(page, "sql"):
        for statement in block.replace("'...'", "'correct horse'").split(";\n"):
            if statement.strip():
                server.query(statement)


def follow_the_quickstart(place: Place, reader: Reader, installed: Callable[[], object] = lambda: None) -> None:
    """The page from top to bottom; `installed` is called behind its first step."""
    page = "docs/quickstart.md"
    accounts(page, place.mysql)
    reader.play(page, 0)
    installed()
    reader.play(page, 1)
    definition, credential = fenced(page, "yaml")
    reader.write("orders.yaml", definition)
    reader.write("cdcd/orders.yaml", definition)
    reader.write("etc/cdcd/credentials/orders-db", credential)
    reader.write("etc/cdcd/cdcd.toml", fenced(page, "toml")[0])
    reader.play(page, 2, 3, 4)
    until(lambda: topics_like(place.kafka.bootstrap, "cdc.shop.customer"), "there is a topic")
    (record,) = until(
        lambda: list(read_committed(place.kafka.bootstrap, ["cdc.shop.customer"])), "the row is published"
    )
    assert (record.key, b'"name":"Anne","city":"Z\xc3\xbcrich"' in record.value) == (b'{"id":"1004"}', True)
    assert reader.all_played()


@pytest.mark.prove
@pytest.mark.must_show("6.6")
@pytest.mark.timeout(1800)
def test_a_newcomers_path(
    tmp_path: Path, shop: MysqlServer, broker: KafkaServer, readers: list[Reader], figures: Figures
) -> None:
    """From the clone to messages of own tables by the quickstart alone, then `make demo` in that clone; what each takes."""
    place = Place(tmp_path, shop, broker)
    settings = " --config /etc/cdcd/cdcd.toml"  # the machine's own /etc is left alone
    place.replaced = {
        each: each + settings for each in (RUN, "cdcd check-config", "cdcctl preflight -f orders.yaml")
    } | place.replaced
    took: dict[str, float] = {}
    readers.append(reader := place.reader({"CDCD_SERVER_ID": "db-1", "HOME": str(Path.home())}, long=True))
    began = time.monotonic()
    follow_the_quickstart(place, reader, lambda: took.update(clone_and_install=round(time.monotonic() - began, 1)))
    took["quickstart"] = round(time.monotonic() - began, 1)
    began = time.monotonic()
    reader.run(
        Command("make demo", ("verified: 1 source rows changed, 1 messages, 0 missing, 0 duplicated, 0 out of order",))
    )
    figures(took | {"demo": round(time.monotonic() - began, 1)})
    reader.run(Command("make docs", ("build/docs/index.html",)))


@pytest.mark.prove
@pytest.mark.must_show("6.6")
@pytest.mark.timeout(1800)
def test_an_installation(tmp_path: Path, shop: MysqlServer, broker: KafkaServer, readers: list[Reader]) -> None:
    """The wheel is built as the page says, and installed where another root stands for /."""
    place = Place(tmp_path, shop, broker)
    place.replaced |= {"/opt/cdcd": f"{tmp_path}/opt/cdcd"}
    readers.append(reader := place.reader({"HOME": str(Path.home())}, long=True))
    reader.run(Command("git clone -q <this repository> clone && cd clone", ()))
    reader.play("docs/install.md", 0)
    reader.run(Command("mkdir ../server && cp dist/*.whl requirements/runtime.lock ../server && cd ../server", ()))
    reader.play("docs/install.md", 1)
    reader.run(Command("/opt/cdcd/current/bin/cdcd version", ("cdcd 0.1.0",)))


def test_the_quickstart(tmp_path: Path, shop: MysqlServer, broker: KafkaServer, readers: list[Reader]) -> None:
    place = Place(tmp_path, shop, broker)
    readers.append(reader := place.reader({"CDCD_SERVER_ID": "db-1"}))
    follow_the_quickstart(place, reader)
    reader.play("docs/definition.md")


def test_one_instance_alone(tmp_path: Path, shop: MysqlServer, broker: KafkaServer, readers: list[Reader]) -> None:
    """README and operations; the second worker takes the instance over from the first."""
    place = Place(tmp_path, shop, broker)
    readers.append(reader := place.reader())
    accounts("README.md", shop)
    definition, credential = fenced("docs/quickstart.md", "yaml")
    reader.write("orders.yaml", definition)
    reader.write("etc/cdcd/credentials/orders-db", credential)
    reader.write("cdcd.toml", fenced("docs/quickstart.md", "toml")[0])
    reader.play("README.md")
    place.replaced["9464"] = str(free_port())
    reader.play("docs/operations.md")
    assert reader.all_played()


@pytest.mark.prove
@pytest.mark.must_show("6.6")
def test_a_fleet(
    tmp_path: Path, shop: MysqlServer, broker: KafkaServer, zookeeper_server: ZookeeperFactory, readers: list[Reader]
) -> None:
    """All that is shown of a fleet, on one of two servers."""
    shop.run("CREATE USER cdcd IDENTIFIED BY 'correct horse'", "GRANT ALL ON *.* TO cdcd")
    for number in range(110):  # the pages tell of a position of a hundred transactions
        shop.run(f"INSERT INTO shop.customer VALUES ({number}, 'Bea', 'Bern', NOW(3))")
    zookeeper = zookeeper_server().hosts
    place = Place(tmp_path, shop, broker, zookeeper)
    place.replaced["3e11fa47-71ca-11e1-9e33-c80aa9429562"] = str(shop.query("SELECT @@server_uuid")[0][0])
    place.replaced["time:2026-11-01T00:00:00Z"] = "earliest"
    quick = {
        "CDCD_SCHEDULING__SETTLE": "1s",
        "CDCD_FLEET__REPORT_INTERVAL": "500ms",
        "CDCD_FLEET__RECONCILE_INTERVAL": "500ms",
    }
    readers.append(reader := place.reader({"CDCD_SERVER_ID": "cdc-1", **quick}))
    definition = (ROOT / "docs/examples/minimal.yaml").read_text()
    reader.write("cdcd.toml", fenced("docs/fleet.md", "toml")[0])
    reader.write("etc/cdcd/cdcd.toml", fenced("docs/fleet.md", "toml")[0])
    login = "user: cdcd\npassword: 'correct horse'\nhosts: ['127.0.0.1:3306']\n"
    reader.write("etc/cdcd/credentials/orders-db", login)
    reader.write("etc/cdcd/credentials/zookeeper", login.replace("127.0.0.1:3306", "zk1:2181"))
    reader.write(".config/fish/completions/none", "")
    reader.play("docs/fleet.md", 0)
    reader.run(Command(f"CDCD_SERVER_ID=cdc-2 CDCD_HTTP__PORT={free_port()} cdcd run", ()))
    place.replaced |= {"15154": str(commit_of(shop)), "binlog.000009": "binlog.000001"}
    reader.write("orders.yaml", f"{definition}start: {{file: binlog.000001, position: 15154}}\n")
    reader.play("docs/coming-from-canal.md", 2)
    reader.run(Command("cdcctl delete orders --yes", ()))
    reader.write("orders.yaml", definition)
    reader.play("docs/fleet.md", 1)
    reader.play("docs/runbook.md", 0)
    reader.play("docs/preflight.md")
    reader.run(Command("cdcctl delete orders --yes", ()))
    reader.play("docs/cdcctl.md")
    reader.run(Command("cdcctl pause orders", ()))
    reader.play("docs/findings.md", 0)
    reader.play("docs/fleet.md", 2)


def test_the_findings_transaction(
    tmp_path: Path, shop: MysqlServer, broker: KafkaServer, readers: list[Reader]
) -> None:
    """How the GTID is found that stands before a place."""
    place = Place(tmp_path, shop, broker)
    place.replaced["binlog.000004"] = str(shop.query("SHOW BINARY LOG STATUS")[0][0])
    readers.append(reader := place.reader())
    reader.play("docs/findings.md", 1, 2, 3)


def commit_of(server: MysqlServer) -> int:
    """Where the Xid event of a transaction begins: where canal's position is, when it has sent a transaction."""
    file = server.query("SHOW BINARY LOG STATUS")[0][0]
    return int(next(row[1] for row in server.query(f"SHOW BINLOG EVENTS IN '{file}'") if row[2] == "Xid"))


def test_the_position_of_canal(tmp_path: Path, shop: MysqlServer, broker: KafkaServer, readers: list[Reader]) -> None:
    place = Place(tmp_path, shop, broker)
    place.replaced |= {"15154": str(commit_of(shop)), "binlog.000009": str(shop.query("SHOW BINARY LOG STATUS")[0][0])}
    readers.append(reader := place.reader())
    cursor = {"postion": json.loads(fenced("docs/coming-from-canal.md", "console")[0].splitlines()[1])}
    reader.write("meta.dat", json.dumps({"clientDatas": [{"cursor": cursor}], "destination": "orders"}))
    reader.play("docs/coming-from-canal.md", 0, 1)


def test_files_of_a_binlog(tmp_path: Path, shop: MysqlServer, broker: KafkaServer, readers: list[Reader]) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    shop.run(
        "DROP TABLE shop.customer",
        "FLUSH BINARY LOGS",
        "CREATE TABLE shop.customer (id INT UNSIGNED PRIMARY KEY, name VARCHAR(60))",
        "INSERT INTO shop.customer VALUES (1, 'Anne')",
        "CREATE TABLE shop.t (v TEXT)",
        f"INSERT INTO shop.t VALUES ('{'x' * 8000}')",
        "FLUSH BINARY LOGS",
        "UPDATE shop.customer SET name = 'Bea'",
        "DELETE FROM shop.customer",
        "FLUSH BINARY LOGS",
    )
    first, second = [(shop.binlog_dir / row[0]).read_bytes() for row in shop.query("SHOW BINARY LOGS")[-3:-1]]
    (archive / "binlog.000003").write_bytes(first)
    (archive / "binlog.000004.zst").write_bytes(zstandard.compress(second))
    (tmp_path / "binlog.000003").write_bytes(first)
    (tmp_path / "cut.000003").write_bytes(first[: first.index(b"x" * 8000) + 600])
    place = Place(tmp_path, shop, broker)
    readers.append(reader := place.reader())
    reader.play("docs/decode.md")
    assert reader.all_played()


def test_the_address_of_the_documentation(
    tmp_path: Path, shop: MysqlServer, broker: KafkaServer, readers: list[Reader]
) -> None:
    """Rules and dashboards, led to the site that `make docs` builds."""
    for name in (
        "prometheus/cdcd.rules.yml",
        "grafana/dashboards/cdcd-fleet.json",
        "grafana/dashboards/cdcd-instance.json",
    ):
        path = tmp_path / "deploy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((ROOT / "deploy" / name).read_text())
    readers.append(reader := Place(tmp_path, shop, broker).reader())
    reader.play("docs/runbook.md", 1)
    text = "".join(path.read_text() for path in (tmp_path / "deploy").rglob("*.*") if path.is_file())
    found = set(re.findall(r"https://wiki\.example\.net/cdcd/docs/(\w+)\.html|\$\{docs\}/(\w+)\.html", text))
    assert {one or other for one, other in found} == {"runbook", "findings"}
    assert "cdcd.example.net" not in text
    assert not re.search(r"\$\{docs\}/[\w-]+\.md", text)


def test_the_settings_of_an_installation(
    tmp_path: Path, shop: MysqlServer, broker: KafkaServer, readers: list[Reader]
) -> None:
    readers.append(reader := Place(tmp_path, shop, broker).reader())
    reader.write("etc/cdcd/cdcd.toml", (ROOT / "docs/examples/cdcd.toml").read_text())
    reader.play("docs/install.md")


def test_what_a_shown_line_stands_for() -> None:
    printed = "orders  running  cdc-1  0s\nafter 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-97"
    assert missing(("orders running cdc-2 1.5s", "after d1d84fdf-…:1-5"), printed) is None
    assert missing(("orders running … 1s",), printed) is None
    assert missing(("orders parked cdc-1 0s",), printed)
    assert missing(("after …", "orders …"), printed) == "orders …"


def test_every_page_with_commands_is_played() -> None:
    source = Path(__file__).read_text()
    played = set(re.findall(r'(?:play\(|page = )"([\w./-]+\.md)"', source))
    assert played | NOT_PLAYED.keys() == WITH_COMMANDS
    assert not played & NOT_PLAYED.keys()


@pytest.mark.parametrize("page", sorted(LEFT.keys() | LONG.keys()))
def test_what_is_left_out_is_there(page: str) -> None:
    shown = [
        line.removeprefix("$ ").removeprefix("# ") for block in fenced(page, "console") for line in block.splitlines()
    ]
    for start in (*LEFT.get(page, {}), *LONG.get(page, ())):
        assert any(line.startswith(start) for line in shown), f"{page} has no command `{start} …`"

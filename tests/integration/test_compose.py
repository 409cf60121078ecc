"""docker-compose.yml without an engine: read by docker-compose itself, and its settings run as plain processes."""

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cdcd.config.definition import Definition, load_definition
from cdcd.config.secrets import Credentials
from cdcd.config.settings import load_settings
from deploy.rig.process import LAUNCH, Process, plain_environment, until
from deploy.rig.topics import read_committed
from deploy.stack.home import Home
from deploy.stack.programs import COMPOSE
from deploy.stack.stack import to_stderr
from tests.monitoring import DASHBOARDS, ROOT, SCRAPING
from tests.servers import KafkaServer, MysqlFactory, MysqlServer, ZookeeperServer

FOLDER = ROOT / "deploy" / "compose"
SETTINGS, DEFINITIONS, SQL = FOLDER / "cdcd.toml", FOLDER / "shop.yaml", FOLDER / "shop.sql"
SERVERS = ("cdcd-1", "cdcd-2", "cdcd-3")


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """As docker-compose understands it: anchors, defaults and short forms resolved."""
    program = COMPOSE.install(Home(), to_stderr) / "docker-compose"
    command = [str(program), "--file", str(ROOT / "docker-compose.yml"), "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return dict(yaml.safe_load(done.stdout))


def test_docker_compose_understands_it(composed: dict[str, Any]) -> None:
    services = composed["services"]
    assert {*SERVERS, "mysql", "zookeeper", "kafka", "shop", "prometheus", "grafana", "loki", "alloy"} < services.keys()
    for name in SERVERS:
        assert services[name]["environment"]["CDCD_SERVER_ID"] == services[name]["hostname"] == name
        assert services[name]["stop_grace_period"] == "1m30s"
        assert {each["source"] for each in services[name]["secrets"]} == {"shop-db", "zookeeper"}


def test_every_image_is_pinned_and_none_names_a_registry(composed: dict[str, Any]) -> None:
    for name, service in composed["services"].items():
        if "build" not in service:
            assert re.fullmatch(r"([a-z]+/)?[a-z]+:v?\d+\.\d+(\.\d+)?", service["image"]), name


def test_what_is_mounted_is_there(composed: dict[str, Any]) -> None:
    mounts = [each for service in composed["services"].values() for each in service.get("volumes", ())]
    files = [each["source"] for each in mounts if each["type"] == "bind"]
    files += [each["file"] for each in composed["secrets"].values()]
    assert [path for path in files if not Path(path).exists() and path != "/var/run/docker.sock"] == []
    assert str(DASHBOARDS) in files
    assert composed["services"]["cdcd-1"]["build"]["dockerfile"] == "deploy/Dockerfile"


def test_nothing_but_the_loopback_is_opened(composed: dict[str, Any]) -> None:
    ports = [each for service in composed["services"].values() for each in service.get("ports", ())]
    assert {each["host_ip"] for each in ports} == {"127.0.0.1"}


def test_prometheus_scrapes_the_servers(composed: dict[str, Any]) -> None:
    (job,) = yaml.safe_load(SCRAPING.read_text())["scrape_configs"]
    (group,) = job["static_configs"]
    settings = load_settings(SETTINGS)
    assert group["targets"] == [f"{name}:{settings.http.port}" for name in SERVERS]
    assert group["labels"] == {"cluster": settings.cluster}


def test_settings_definitions_and_credentials_fit() -> None:
    settings = load_settings(SETTINGS)
    credentials = Credentials(None, FOLDER / "credentials")
    for server in settings.ensemble().endpoints:
        assert credentials.load("zookeeper").login_for(server.host, server.port)
    for definition in definitions():
        for source in definition.source.endpoints:
            assert credentials.load(definition.source.credential).login_for(source.host, source.port)
        settings.kafka_cluster(definition.sink.kafka)


def definitions() -> list[Definition]:
    return [load_definition(json.dumps(each)) for each in yaml.safe_load_all(DEFINITIONS.read_text())]


def test_the_image_takes_what_is_locked() -> None:
    lines = (ROOT / "deploy" / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", lines, re.MULTILINE)
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name
        assert f"!{name.rstrip('/')}" in (ROOT / ".dockerignore").read_text().splitlines(), name
    for command in re.findall(r"pip (?:install|wheel)[^\n&]*", lines):
        assert "--require-hashes" in command or "--no-index" in command, command


# ---------------------------------------------------------------- the same settings as plain processes


class Plain:
    """The shop's fleet without containers: their names of hosts are replaced by addresses, nothing else."""

    def __init__(self, folder: Path, mysql: MysqlServer, zookeeper: ZookeeperServer, kafka: KafkaServer) -> None:
        self._folder = folder
        self.mysql = mysql
        self._hosts = {
            "zookeeper:2181": zookeeper.hosts,
            "kafka:9092": kafka.bootstrap,
            "mysql:3306": f"127.0.0.1:{mysql.port}",
            "host: mysql": f"host: 127.0.0.1, port: {mysql.port}",
            "0.0.0.0": "127.0.0.1",
        }
        name = f"shop{secrets.token_hex(3)}"
        self._environment = plain_environment() | {
            "CREDENTIALS_DIRECTORY": str(folder),
            "CDCD_CLUSTER": name,
            "CDCD_ZOOKEEPER__CHROOT": f"/{name}",
            "CDCD_HTTP__PORT": "0",
        }
        for source in (SETTINGS, DEFINITIONS, *(FOLDER / "credentials").iterdir()):
            self._copy(source)
        self._servers: list[Process] = []

    def _copy(self, source: Path) -> None:
        text = source.read_text()
        for name, address in self._hosts.items():
            text = text.replace(name, address)
        target = self._folder / source.name
        target.touch(0o600)
        target.write_text(text)

    def start(self) -> None:
        for name in SERVERS:
            command = [sys.executable, "-c", LAUNCH, "run", "--config", str(self._folder / SETTINGS.name)]
            environment = self._environment | {"CDCD_SERVER_ID": name}
            self._servers.append(Process(command, environment, 0, self._folder / name))

    def call(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], env=self._environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, "\n".join([done.stdout, done.stderr, *(each.said() for each in self._servers)])
        return done.stdout

    def cdcctl(self, *arguments: str) -> str:
        launch = LAUNCH.replace("cli.cdcd import main", "cli.cdcctl import run as main")
        return self.call("-c", launch, *arguments, "--config", str(self._folder / SETTINGS.name))

    def kill(self) -> None:
        for server in self._servers:
            server.kill()


@pytest.fixture
def plain(
    mysql_server: MysqlFactory, zookeeper: ZookeeperServer, kafka: KafkaServer, tmp_path: Path
) -> Iterator[Plain]:
    made = Plain(tmp_path, mysql_server(), zookeeper, kafka)
    yield made
    made.kill()


@pytest.mark.prove
def test_the_shop_is_published(plain: Plain, kafka: KafkaServer) -> None:
    plain.mysql.run(*filter(str.strip, re.sub(r"^--.*$", "", SQL.read_text(), flags=re.MULTILINE).split(";")))
    plain.start()
    plain.cdcctl("apply", "-f", str(plain._folder / DEFINITIONS.name), "--wait")
    plain.call(str(FOLDER / "shop.py"), "--port", str(plain.mysql.port), "--rate", "2000", "--transactions", "700")
    ((customers,),) = plain.mysql.query("SELECT COUNT(*) FROM shop.customers")
    assert customers > 5000, "the burst is in it"

    def arrived() -> bool:
        return len(list(read_committed(kafka.bootstrap, ["cdc.shop.customers"]))) == int(customers)

    until(arrived, f"{customers} customers are published", every=1)
    placed = {each["server"] for each in json.loads(plain.cdcctl("get", "-o", "json"))}
    assert placed == set(SERVERS), "each server has one of the three instances"

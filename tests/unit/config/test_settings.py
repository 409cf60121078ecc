"""Settings: three layers, and a Kafka cluster's security."""

import json
import os
import re
import socket
from pathlib import Path

import pytest

from cdcd.config.kafka_cluster import KafkaCluster, client_properties
from cdcd.config.secrets import Credentials
from cdcd.config.settings import Settings, effective_settings, load_settings
from cdcd.errors import FindingError, InvalidConfig
from tests.console import fenced

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "cdcd.toml"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CDCD_")]:
        monkeypatch.delenv(name)


def toml(folder: Path, text: str) -> Path:
    path = folder / "cdcd.toml"
    path.write_text(text)
    return path


def problems(file: Path | None = None) -> dict[str, str]:
    with pytest.raises(InvalidConfig) as caught:
        load_settings(file)
    return {problem.path: problem.message for problem in caught.value.problems}


def cluster(**fields: object) -> KafkaCluster:
    return KafkaCluster.model_validate({"bootstrap_servers": ["broker:9092"], **fields})


def test_a_fleets_name_has_no_dot(tmp_path: Path) -> None:
    assert "dot" in problems(toml(tmp_path, 'cluster = "eu.west"'))["cluster"]


def test_without_anything_there_are_defaults(tmp_path: Path) -> None:
    settings = load_settings(toml(tmp_path, ""))
    assert (settings.cluster, settings.http.host, settings.http.port, settings.log_level) == (
        "default",
        "127.0.0.1",
        9464,
        "info",
    )
    assert settings.kafka == {}
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", settings.server_id)


@pytest.mark.parametrize(
    ("host", "server_id"), [("DB_1.example", "db_1.example"), ("-ü", "server--"), ("x" * 80, "x" * 63)]
)
def test_the_server_id_comes_from_the_host_name(
    host: str, server_id: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert load_settings(toml(tmp_path, "")).server_id == server_id


def test_environment_goes_over_the_file_and_flags_over_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = toml(
        tmp_path,
        'cluster = "a"\nlog_level = "debug"\nserver_id = "s1"\n[http]\nhost = "127.0.0.2"\nport = 1\n'
        '[kafka.default]\nbootstrap_servers = ["a:1"]\nreplication = 3\n[kafka.other]\nbootstrap_servers = "b:1, c:2"\n',
    )
    monkeypatch.setenv("CDCD_CLUSTER", "b")
    monkeypatch.setenv("CDCD_LOG_LEVEL", "warning")
    monkeypatch.setenv("CDCD_HTTP__PORT", "2")
    monkeypatch.setenv("CDCD_KAFKA__DEFAULT__BOOTSTRAP_SERVERS", "d:1,e:2")
    monkeypatch.setenv("CDCD_KAFKA__DEFAULT__TRANSACTION_TIMEOUT", "20s")
    monkeypatch.setenv("CDCD_KAFKA__THIRD__BOOTSTRAP_SERVERS", "f:1")
    settings = load_settings(file, {"log_level": "error", "http": {"port": 3}})
    assert (settings.server_id, settings.cluster, settings.log_level) == ("s1", "b", "error")
    assert (settings.http.host, settings.http.port) == ("127.0.0.2", 3)
    assert settings.kafka["default"].bootstrap_servers == ("d:1", "e:2")
    assert (settings.kafka["default"].replication, settings.kafka["default"].transaction_timeout) == (3, 20)
    assert settings.kafka["other"].bootstrap_servers == ("b:1", "c:2")
    assert settings.kafka["third"].bootstrap_servers == ("f:1",)

    shown = effective_settings(settings)
    origins = {path: entry["origin"] for path, entry in shown.items()}
    assert origins["server_id"] == origins["http.host"] == origins["kafka.default.replication"] == "file"
    assert origins["cluster"] == origins["kafka.default.bootstrap_servers"] == "environment"
    assert origins["log_level"] == origins["http.port"] == "flag"
    assert origins["kafka.default.queue_memory"] == origins["credentials_dir"] == "default"
    assert shown["kafka.default.transaction_timeout"]["value"] == "20s"
    assert shown["kafka.default.security_protocol"]["value"] == "ssl"
    assert json.loads(json.dumps(shown)) == shown


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    file = toml(
        tmp_path,
        'log_level = "loud"\nclustre = "x"\n[http]\nport = "many"\n[kafka.default]\nbootstrap_servers = ["broker"]\n'
        'sasl = {credential = "../x"}\n[kafka.UPPER]\nbootstrap_servers = []\n',
    )
    assert problems(file) == {
        "log_level": "must be `debug`, `info`, `warning` or `error`",
        "clustre": "unknown field; did you mean `cluster`?",
        "http.port": "must be a whole number",
        "kafka.default.bootstrap_servers[0]": "`broker` needs a port: host:port",
        "kafka.default.sasl.credential": "must be 1 to 63 characters of a-z, 0-9, `.`, `_`, `-`, the first a letter or digit",
        "kafka.UPPER": "must be 1 to 63 characters of a-z, 0-9, `.`, `_`, `-`, the first a letter or digit",
        "kafka.UPPER.bootstrap_servers": "must not be empty",
    }


@pytest.mark.parametrize("text", ["a = ", "a = 1\na = 2", "\x00", "_env_file = '/etc/passwd'", "#" * (1 << 20) + "x"])
def test_a_file_that_is_not_right_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load_settings(toml(tmp_path, text))
    assert caught.value.origin == str(tmp_path / "cdcd.toml")


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_settings(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CDCD_LOGLEVEL", "did you mean CDCD_LOG_LEVEL?"),
        ("CDCD_KAFKA_DEFAULT_BOOTSTRAP_SERVERS", "two underscores"),
        ("CDCD_KAFAK__DEFAULT__BOOTSTRAP_SERVERS", "did you mean CDCD_KAFKA?"),
        ("CDCD_REDIS__HOSTS", "unknown setting"),
        ("CDCD_ZOOKEEPER_HOSTS", "two underscores"),
    ],
)
def test_a_mistaken_variable_is_not_ignored(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    assert message in problems()[name]


def test_other_programs_variables_are_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "CDCD_PORT",
        "CDCD_SERVICE_HOST",
        "CDCD_PORT_9464_TCP_ADDR",
        "CDCD_TESTING",
        "CDCD_FAILPOINT",
        "CDCD_STACK_HOME",
    ):
        monkeypatch.setenv(name, "x")
    assert load_settings(toml(tmp_path, "")).cluster == "default"


def test_a_value_that_may_be_a_password_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDCD_KAFKA__DEFAULT__BOOTSTRAP_SERVERS", "a:1")
    monkeypatch.setenv("CDCD_KAFKA__DEFAULT__SASL__PASSWORD", "canary")
    monkeypatch.setenv("CDCD_KAFKA__DEFAULT__OPTIONS__SASL.PASSWORD", "canary")
    found = problems()
    assert "a password never stands here" in found["kafka.default.sasl.password"]
    assert "sasl.password cannot be set here" in found["kafka.default.options"]
    assert "canary" not in json.dumps(found)


def test_the_example_is_right() -> None:
    settings = load_settings(EXAMPLE)
    assert settings.kafka["default"].effective_security_protocol == "sasl_ssl"
    assert set(settings.model_fields_set) | {"server_id"} == set(Settings.model_fields)
    assert settings.kafka["default"].model_fields_set == set(KafkaCluster.model_fields)


def test_the_settings_of_the_page_on_security(tmp_path: Path) -> None:
    (text,) = fenced("docs/security.md", "toml")
    settings = load_settings(toml(tmp_path, text))
    assert [each.effective_security_protocol for each in settings.kafka.values()] == ["sasl_ssl", "ssl"]
    assert settings.ensemble().effective_encryption == "tls"
    assert settings.ensemble().auth


def test_a_cluster_that_the_server_does_not_know_is_a_finding(tmp_path: Path) -> None:
    settings = load_settings(toml(tmp_path, '[kafka.main]\nbootstrap_servers = ["a:1"]'))
    assert settings.kafka_cluster("main").bootstrap_servers == ("a:1",)
    with pytest.raises(FindingError, match="settings know main") as caught:
        settings.kafka_cluster("default")
    assert caught.value.finding.code == "kafka-cluster-unknown"
    assert "CDCD_KAFKA__DEFAULT__BOOTSTRAP_SERVERS" in caught.value.finding.remedy


@pytest.mark.parametrize(
    ("fields", "protocol"),
    [
        ({}, "ssl"),
        ({"bootstrap_servers": "127.0.0.1:1,[::1]:2,localhost:3"}, "plaintext"),
        ({"bootstrap_servers": "127.0.0.1:1,broker:2"}, "ssl"),
        ({"sasl": {"credential": "kafka"}}, "sasl_ssl"),
        ({"bootstrap_servers": "127.0.0.1:1", "sasl": {"credential": "kafka"}}, "sasl_plaintext"),
        ({"security_protocol": "plaintext"}, "plaintext"),
        ({"bootstrap_servers": "127.0.0.1:1", "security_protocol": "ssl"}, "ssl"),
    ],
)
def test_plain_text_leaves_the_machine_only_where_it_is_said(fields: dict[str, object], protocol: str) -> None:
    assert cluster(**fields).effective_security_protocol == protocol


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"security_protocol": "sasl_ssl"}, "go with security_protocol sasl_ssl"),
        ({"security_protocol": "ssl", "sasl": {"credential": "kafka"}}, "go with security_protocol ssl"),
        ({"security_protocol": "plaintext", "tls": {"ca": "/ca.pem"}}, "go with security_protocol plaintext"),
        ({"tls": {"cert": "/c.pem"}}, "go together"),
        ({"tls": {"ca": "ca.pem"}}, "absolute path"),
        ({"options": {"plugin.library.paths": "evil.so"}}, "cannot be set here"),
        ({"options": {"enable.idempotence": False}}, "cannot be set here"),
        ({"options": {"client.rack": ["a"]}}, "must be text"),
        ({"transaction_timeout": "1h"}, "from 1s to 15m"),
        ({"transaction_timeout": 30}, "such as 250ms"),
        ({"queue_memory": "1KiB"}, "from 1MiB to 1GiB"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cluster(**fields)


def test_properties_of_a_plain_client(tmp_path: Path) -> None:
    properties = client_properties(
        cluster(bootstrap_servers="127.0.0.1:1,[::1]:2", options={"client.rack": "a"}), Credentials(tmp_path)
    )
    assert properties["bootstrap.servers"] == "127.0.0.1:1,[::1]:2"
    assert properties["security.protocol"] == "plaintext"
    assert properties["client.rack"] == "a"
    assert not any(name.startswith("sasl") for name in properties)


def test_properties_with_tls_and_sasl(tmp_path: Path) -> None:
    (tmp_path / "kafka").write_text('user: cdcd\npassword: secret\nhosts: ["broker:9092"]\n')
    (tmp_path / "kafka").chmod(0o600)
    secured = {"sasl": {"credential": "kafka"}, "tls": {"ca": "/ca.pem", "cert": "/c.pem", "key": "/k.pem"}}
    properties = client_properties(cluster(**secured), Credentials(tmp_path))
    assert properties == {
        "bootstrap.servers": "broker:9092",
        "security.protocol": "sasl_ssl",
        "enable.ssl.certificate.verification": "true",
        "ssl.endpoint.identification.algorithm": "https",
        "ssl.ca.location": "/ca.pem",
        "ssl.certificate.location": "/c.pem",
        "ssl.key.location": "/k.pem",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "cdcd",
        "sasl.password": "secret",
    }
    with pytest.raises(FindingError, match="may not be sent to evil:9092"):
        client_properties(cluster(**secured, bootstrap_servers="broker:9092,evil:9092"), Credentials(tmp_path))

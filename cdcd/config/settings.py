"""Settings of a server: TOML file < `CDCD_` environment < flags.

An environment variable names a field by its path with two underscores: `CDCD_KAFKA__DEFAULT__BOOTSTRAP_SERVERS`.
"""

import copy
import difflib
import os
import re
import socket
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from cdcd.config.document import MAX_BYTES
from cdcd.config.fields import Host, Name, with_written_defaults
from cdcd.config.fleet import Fleet, Scheduling
from cdcd.config.kafka_cluster import KafkaCluster
from cdcd.config.problems import problems_of, shown
from cdcd.config.section import AbsolutePath, Section
from cdcd.config.zookeeper import ZooKeeper
from cdcd.errors import Finding, FindingError, InvalidConfig, Problem

DEFAULT_FILE = Path("/etc/cdcd/cdcd.toml")
ENVIRONMENT_PREFIX = "CDCD_"
Origin = Literal["default", "file", "environment", "flag"]
Layer = dict[str, Any]


def _host_name() -> str:
    """This machine's name, made fit for a server id."""
    name = re.sub(r"[^a-z0-9._-]", "-", socket.gethostname().lower())[:63]
    return name if re.match(r"[a-z0-9]", name) else f"server{name}"[:63]


class Http(Section):
    """Where `/metrics`, `/livez`, `/readyz` and `/status` are served."""

    host: Host = "127.0.0.1"
    """Address to listen on; nothing asks for a password there, so think before it is more than the loopback."""
    port: Annotated[int, Field(ge=0, le=65535)] = 9464
    """Port; 0 takes a free one."""


def _without_dot(name: str) -> str:
    if "." in name:
        raise ValueError(
            "must not contain a dot: instance `b.c` of fleet `a` and `c` of `a.b` would share a position topic"
        )
    return name


class Settings(BaseSettings):
    """Settings of a server."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    cluster: Annotated[Name, AfterValidator(_without_dot)] = "default"
    """Name of this fleet: part of transactional ids and position topics, so that two fleets can share a Kafka cluster."""
    server_id: Name = Field(default_factory=_host_name)
    """Name of this server, the same after a restart; without one the host name."""
    credentials_dir: AbsolutePath | None = Path("/etc/cdcd/credentials")
    """Where credential files are, besides systemd's `$CREDENTIALS_DIRECTORY`."""
    http: Http = Http()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""
    zookeeper: ZooKeeper | None = None
    """The ensemble that coordinates the fleet; `cdcd run` and `cdcctl` need it, `cdcd run --standalone` does not."""
    fleet: Fleet = Fleet()
    scheduling: Scheduling = Scheduling()
    kafka: dict[Name, KafkaCluster] = {}
    """Kafka clusters by the name that `sink.kafka` of definitions gives; the usual one is called `default`. Each has the fields below, in TOML under `[kafka.default]`."""

    _origins: dict[str, Origin] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing is read behind the caller's back: `load_settings` puts the layers together."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def ensemble(self) -> ZooKeeper:
        """The ZooKeeper ensemble. FindingError (operator) if the settings name none."""
        if self.zookeeper is not None:
            return self.zookeeper
        raise FindingError(
            Finding(
                "zookeeper-not-set",
                "operator",
                "The settings name no ZooKeeper ensemble, which coordinates the fleet",
                f"Set {ENVIRONMENT_PREFIX}ZOOKEEPER__HOSTS, or add to the settings file: "
                '[zookeeper] hosts = ["zookeeper:2181"]; one instance alone runs by `cdcd run --standalone`.',
            )
        )

    def kafka_cluster(self, name: str) -> KafkaCluster:
        """The cluster of that name. FindingError (operator) if this server does not know it."""
        if name in self.kafka:
            return self.kafka[name]
        known = ", ".join(sorted(self.kafka)) or "none"
        raise FindingError(
            Finding(
                "kafka-cluster-unknown",
                "operator",
                f"sink.kafka names the Kafka cluster `{shown(name)}`; this server's settings know {known}",
                f"Set {ENVIRONMENT_PREFIX}KAFKA__{shown(name).upper()}__BOOTSTRAP_SERVERS, or add to the settings file: "
                f'[kafka.{shown(name)}] bootstrap_servers = ["broker:9092"].',
            )
        )


def load_settings(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings in effect. `overrides` are flags: nested like the file.

    Without `file` the default one is read if it exists. InvalidConfig holds all mistakes; OSError if the file
    that is named cannot be read.
    """
    layers: dict[Origin, Layer] = {
        "file": _of_file(file or DEFAULT_FILE) if file or DEFAULT_FILE.exists() else {},
        "environment": _of_environment(),
        "flag": dict(overrides or {}),
    }
    merged: Layer = {}
    for layer in layers.values():
        _merge(merged, layer)
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        raise InvalidConfig(_named(file, layers), problems_of(error, Settings)) from None
    settings._origins.update((path, origin) for origin, layer in layers.items() for path, _ in _leaves(layer))  # noqa: SLF001 - set once, here
    return settings


def effective_settings(settings: Settings) -> dict[str, dict[str, object]]:
    """Each setting's path -> `value` and `origin` (default, file, environment, flag), for people.

    Settings hold no secrets by construction: passwords are in credential files, of which only the names stand here.
    """
    values = dict(_leaves(settings.model_dump(mode="json")))
    for name, cluster in settings.kafka.items():
        values[f"kafka.{name}.security_protocol"] = cluster.effective_security_protocol
    return {
        path: {"value": value, "origin": settings._origins.get(path, "default")}  # noqa: SLF001 - of this module
        for path, value in sorted(values.items())
    }


def settings_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the settings file."""
    schema: dict[str, Any] = with_written_defaults(Settings.model_json_schema())
    return schema


def _of_file(file: Path) -> Layer:
    with file.open("rb") as opened:
        raw = opened.read(MAX_BYTES + 1)
    try:
        if len(raw) > MAX_BYTES:
            raise ValueError(f"is larger than {MAX_BYTES >> 20} MiB")  # noqa: TRY301 - worded as the others below
        layer = tomllib.loads(raw.decode("utf-8-sig"))
    except ValueError as error:  # both TOMLDecodeError and UnicodeDecodeError are
        raise InvalidConfig(str(file), (Problem("", f"is not TOML: {error}"),)) from None
    # pydantic-settings would take these as orders to itself.
    if hidden := [Problem(shown(key), "unknown field") for key in layer if key.startswith("_")]:
        raise InvalidConfig(str(file), tuple(hidden))
    return layer


def _of_environment() -> Layer:
    if mistaken := [problem for name in sorted(os.environ) for problem in _mistaken_variable(name)]:
        raise InvalidConfig("environment", tuple(mistaken))
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as error:
        raise InvalidConfig("environment", (Problem("", str(error)),)) from None


def _mistaken_variable(name: str) -> Iterator[Problem]:
    """Near misses only. Others begin with our prefix as well: Kubernetes sets CDCD_PORT for a service `cdcd`."""
    field = name.removeprefix(ENVIRONMENT_PREFIX).lower()
    head = field.partition("__")[0]
    if field == name.lower() or head in Settings.model_fields:
        return
    near = difflib.get_close_matches(head, Settings.model_fields, n=1, cutoff=0.8)
    sections = ("kafka", "http", "zookeeper", "fleet", "scheduling")
    section = next((section for section in sections if head.startswith(f"{section}_")), None)
    if section is not None:
        yield Problem(name, f"names a field by two underscores: {ENVIRONMENT_PREFIX}{section.upper()}__...")
    elif near or "__" in field:
        known = ", ".join(ENVIRONMENT_PREFIX + one.upper() for one in near or Settings.model_fields)
        yield Problem(name, f"unknown setting; known are {known}" if not near else f"did you mean {known}?")


def _merge(into: Layer, layer: Mapping[str, Any]) -> None:
    """Puts `layer` over `into`, section by section."""
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def _leaves(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _named(file: Path | None, layers: Mapping[Origin, Layer]) -> str:
    """Which layers a mistake may be in."""
    names = {"file": str(file or DEFAULT_FILE), "environment": "environment", "flag": "flags", "default": ""}
    return " + ".join(names[origin] for origin, layer in layers.items() if layer) or "settings"

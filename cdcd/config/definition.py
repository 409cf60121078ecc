"""A definition: what one instance reads, and where it publishes. The main interface to operators.

One schema for the daemon, `cdcctl`, the reference in docs/definition.md and editors (docs/definition.schema.json).
"""

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from cdcd.config.document import MAX_BYTES, parse_document
from cdcd.config.fields import (
    NOT_EMPTY,
    Duration,
    Host,
    HostAndPort,
    Model,
    Name,
    Port,
    Size,
    duration_between,
    size_between,
    with_written_defaults,
)
from cdcd.config.network import Endpoint, is_loopback, parse_endpoint
from cdcd.config.problems import broken_rule, problems_of
from cdcd.config.start import Start
from cdcd.config.tables import REGEX_PREFIX, TableFilter, check_rule, named_databases, named_tables
from cdcd.config.topics import TopicTemplate, placeholders
from cdcd.errors import InvalidConfig, Problem

VERSION: Final = 1
MYSQL_PORT = 3306
MAX_RULES = 10_000
MAX_REGEX_RULES = 100

LATER_FIELDS = frozenset({"headers", "rows_per_message", "key_columns", "tombstones", "ddl_inline"})
LATER_VALUES = {
    "format.type": frozenset({"debezium-json", "maxwell-json", "htap-json"}),
    "sink.partition_by": frozenset({"canal_hash"}),
    "sink.too_large": frozenset({"dead_letter", "key_only"}),
}
"""In the design, not in this version: named as such instead of accepted and ignored."""


def _few_expressions(rules: object) -> object:
    """Before any of them is compiled: that costs up to 10 ms each."""
    entries = rules if isinstance(rules, list | tuple) else ()
    if sum(isinstance(rule, str) and rule.startswith(REGEX_PREFIX) for rule in entries) > MAX_REGEX_RULES:
        raise ValueError(f"must have at most {MAX_REGEX_RULES} regex: rules; of globs there may be {MAX_RULES}")
    return rules


Rules: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(check_rule)], ...],
    Field(strict=False, max_length=MAX_RULES),
    BeforeValidator(_few_expressions),
]


def _columns(columns: tuple[str, ...]) -> tuple[str, ...]:
    if "" in columns or len(set(columns)) < len(columns):
        raise ValueError("must be different column names")
    return columns


def _kind_of_partitioning(value: object) -> str | None:
    """Another word gets the message that names all three kinds."""
    if isinstance(value, list | tuple):
        return "<columns>"
    known = {"primary_key", "table"} | LATER_VALUES["sink.partition_by"]
    return "<word>" if isinstance(value, str) and value in known else None


PartitionBy: TypeAlias = Annotated[
    Annotated[Literal["primary_key", "table"], Tag("<word>")]
    | Annotated[
        tuple[str, ...], Field(strict=False, max_length=64), NOT_EMPTY, AfterValidator(_columns), Tag("<columns>")
    ],
    Discriminator(
        _kind_of_partitioning,
        custom_error_type="partition_by",
        custom_error_message="must be primary_key, table or a list of columns",
    ),
]


Weight: TypeAlias = Annotated[
    Annotated[Literal["auto"], Tag("<word>")]
    | Annotated[float, Field(gt=0, le=1e6, strict=False, allow_inf_nan=False), Tag("<number>")],
    Discriminator(
        lambda value: "<word>" if isinstance(value, str) else "<number>" if type(value) in {int, float} else None,
        custom_error_type="weight",
        custom_error_message="must be auto or a number",
    ),
]

Labels: TypeAlias = dict[Name, Annotated[str, Field(min_length=1, max_length=63)]]


class Tls(Model):
    """How the connection to MySQL is protected."""

    mode: Literal["verify-identity", "verify-ca", "disabled"] = "verify-identity"
    """`verify-identity` checks the certificate and the host name in it, `verify-ca` the certificate alone, `disabled` sends everything in plain text."""
    ca: Name | None = None
    """File of certificate authorities in the credentials directory; without one those of the system are trusted."""
    cert: Name | None = None
    """Client certificate in the credentials directory."""
    key: Name | None = None
    """Its private key in the credentials directory."""

    @model_validator(mode="after")
    def _consistent(self) -> "Tls":
        if (self.cert is None) != (self.key is None):
            raise broken_rule("cert" if self.cert is None else "key", "is required: certificate and key go together")
        if self.mode == "disabled" and (self.ca or self.cert):
            raise broken_rule("mode", "disabled uses no certificates: remove ca, cert and key, or verify")
        return self


class Source(Model):
    """The MySQL server to read."""

    host: Host | None = None
    """The server; or `hosts`."""
    port: Port | None = None
    """Its port, 3306 if none is given; only with `host`."""
    hosts: Annotated[
        Annotated[tuple[HostAndPort, ...], Field(strict=False, max_length=32), NOT_EMPTY] | None,
        Field(validate_default=True),
    ] = None
    """Servers of one replication group as `host:port`; the first that answers and holds the position is read."""
    credential: Name
    """Name of the credential that holds user, password and the hosts they may be sent to."""
    tls: Tls | None = None
    """Without it `verify-identity`, except to a loopback address, where plain text is used."""
    heartbeat: Annotated[Duration, duration_between("100ms", "1h")] = 10.0
    """How often the source tells that it is alive when it has nothing to send; silent for three times as long, it is given up."""

    @field_validator("hosts", mode="after")
    @classmethod
    def _one_way(cls, hosts: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        """Checked here and not on the whole model, so that it is reported together with mistakes in other fields."""
        endpoints = [parse_endpoint(host, MYSQL_PORT) for host in hosts or ()]
        if len(set(endpoints)) < len(endpoints):
            raise ValueError("must not name a server twice")
        if hosts is None and info.data.get("host", "invalid") is None:
            raise broken_rule("host", "is required (or `hosts` with several)", up=1)
        if hosts is not None and info.data.get("host") is not None:
            raise ValueError("stands beside `host`: give one of them")
        if hosts is not None and info.data.get("port") is not None:
            raise broken_rule("port", "belongs to `host`; in `hosts` write host:port", up=1)
        return hosts

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The servers, in the order in which they are tried."""
        if self.hosts is not None:
            return tuple(parse_endpoint(host, MYSQL_PORT) for host in self.hosts)
        return (Endpoint(self.host or "", self.port or MYSQL_PORT),)

    def effective_tls(self, host: str) -> Tls:
        """`tls`, or what holds for `host` where nothing is said."""
        return self.tls or Tls(mode="disabled" if is_loopback(host) else "verify-identity")


class Tables(Model):
    """Which tables are read."""

    include: Annotated[Rules, NOT_EMPTY]
    """Globs on `database.table`, such as `shop.*` or `crm.customer_?`; `regex:...` must match the whole name."""
    exclude: Rules = ()
    """The same; wins over `include`."""


def check_zone(name: str) -> str:
    """The name of a time zone; ValueError if this machine does not know it."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a time zone of the tz database, such as UTC or Asia/Shanghai") from None
    return name


class Format(Model):
    """How a row becomes a message."""

    type: Literal["canal-json"] = "canal-json"
    """Layout of the messages."""
    compat: Literal["fixed", "strict"] = "fixed"
    """`fixed`: every value exact, where canal's own are lossy or ambiguous. `strict`: values, types and times as canal shows them."""
    strict_timezone: Annotated[str, AfterValidator(check_zone)] | None = None
    """The time zone of canal's JVM, such as `Asia/Shanghai`, in which `strict` shows TIMESTAMP; required with it."""

    @model_validator(mode="after")
    def _strict_names_a_zone(self) -> "Format":
        if (self.compat == "strict") != (self.strict_timezone is not None):
            raise broken_rule("strict_timezone", "belongs to compat: strict, which requires it")
        return self


class Create(Model):
    """How a topic is created that does not exist."""

    partitions: Annotated[int, Field(ge=1, le=10_000)] = 4
    """Number of partitions."""
    replication: Annotated[int, Field(ge=1, le=100)] | None = None
    """Number of replicas; without one that of the cluster's settings, else the broker's own default."""


class Commit(Model):
    """When a Kafka transaction is committed. Caught up with the source, at once; behind it, in larger portions."""

    min_interval: Annotated[Duration, duration_between("0ms", "10s")] = 0.005
    """Not more often than this."""
    max_interval: Annotated[Duration, duration_between("1ms", "10s")] = 0.25
    """Behind the source: at the first end of a source transaction after this time."""
    max_bytes: Annotated[Size, size_between("1KiB", "256MiB")] = 16 << 20
    """Or after this much, also inside a source transaction."""

    @model_validator(mode="after")
    def _ordered(self) -> "Commit":
        if self.min_interval > self.max_interval:
            raise broken_rule("min_interval", "must not be longer than max_interval")
        return self


class Sink(Model):
    """Where the messages go."""

    kafka: Name = "default"
    """Name of a Kafka cluster of the server's settings."""
    topic: TopicTemplate
    """Topic of the rows: a fixed one, or a template with `{database}`, `{table}`, `{instance}`."""
    ddl_topic: TopicTemplate | None = "cdc.{instance}.ddl"
    """Topic of DDL statements, may hold `{instance}`; `null`: they are not published."""
    statements: Literal["stop", "ddl-topic"] = "stop"
    """Rows changed by a statement that is logged as text (`binlog_format` STATEMENT or MIXED), so that nobody can know them: `stop` the instance with a finding, or publish the statement in `ddl_topic` in place of its rows and go on."""
    create: Create = Create()
    """Topics that do not exist are created so."""
    partition_by: PartitionBy = "primary_key"
    """What decides the partition: `primary_key`, `table` (the order within a table is kept), or a list of columns."""
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    """`exactly_once`: rows and position in one Kafka transaction. `at_least_once`: sooner visible, repeated after a crash."""
    too_large: Literal["fail"] = "fail"
    """A message over the broker's limit: `fail` stops the instance with a finding."""
    commit: Commit = Commit()
    """When Kafka transactions are committed."""

    @field_validator("ddl_topic", mode="after")
    @classmethod
    def _apart(cls, ddl_topic: str | None, info: ValidationInfo) -> str | None:
        if ddl_topic is None:
            return None
        if placeholders(ddl_topic) - {"instance"}:
            raise ValueError("may hold {instance} only: a statement can be about several tables")
        if ddl_topic == info.data.get("topic"):
            raise ValueError("must not be the topic of the rows; null turns DDL off")
        return ddl_topic

    @field_validator("statements", mode="after")
    @classmethod
    def _somewhere(cls, statements: str, info: ValidationInfo) -> str:
        if statements == "ddl-topic" and info.data.get("ddl_topic", "invalid") is None:
            raise ValueError("ddl-topic needs a ddl_topic, which is null")
        return statements


class Placement(Model):
    """Which servers of the fleet may run the instance."""

    weight: Weight = "auto"
    """What it counts for when load is spread: `auto`, as measured, or a fixed number; 1 is what a core is thought to carry."""
    require: Labels = Field(default_factory=dict)
    """Labels that a server must have, such as `{zone: a}`; `server` is a server's id."""
    prefer: Labels = Field(default_factory=dict)
    """Labels that it should have: servers with all of them come first, others are taken if there is none."""


class Definition(Model):
    """One instance of cdcd."""

    version: Literal[1] = VERSION
    """Version of this schema."""
    name: Name
    """Name of the instance: part of its topics, its transactional id and its metrics."""
    paused: bool = False
    """True: defined, but not run."""
    source: Source
    tables: Tables
    start: Start = "latest"
    """Where to begin when no position is stored: `latest`, `earliest`, `{gtid_set: ...}`, `{file: ..., position: ...}` or `{time: ...}`."""
    format: Format = Format()
    sink: Sink
    placement: Placement = Placement()

    @property
    def table_filter(self) -> TableFilter:
        """A new filter of `tables`."""
        return TableFilter(self.tables.include, self.tables.exclude)

    @property
    def topic_per_table(self) -> bool:
        """Whether no two tables share a topic, so that a key need not name its table."""
        holds = placeholders(self.sink.topic)
        databases, tables = named_databases(self.tables.include), named_tables(self.tables.include)
        one_database = databases is not None and len(databases) == 1
        one_table = tables is not None and len(tables) == 1
        return one_table or ("table" in holds and ("database" in holds or one_database))


def load_definition(source: str | bytes | Path, origin: str = "definition") -> Definition:
    """A definition of YAML or JSON text, or of a file, whose path is then the origin that messages name.

    InvalidConfig holds all its mistakes. OSError if the file cannot be read.
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            return load_definition(file.read(MAX_BYTES + 1), str(source))
    raw = parse_document(source, origin)
    version = raw.get("version", VERSION)
    if type(version) is not int or version != VERSION:
        # Fields of another version would only look like mistakes.
        raise InvalidConfig(origin, (Problem("version", f"must be {VERSION}: this cdcd knows no other"),))
    try:
        return Definition.model_validate(raw)
    except ValidationError as error:
        raise InvalidConfig(origin, problems_of(error, Definition, LATER_FIELDS, LATER_VALUES)) from None


def to_canonical_json(definition: Definition) -> str:
    """The definition without what is default anyway, sorted, without spaces: equal definitions give equal text."""
    fields = {"version": definition.version, **definition.model_dump(mode="json", exclude_defaults=True)}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def definition_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) for editors. What spans several fields, it cannot say."""
    schema = with_written_defaults(Definition.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

"""A definition in a few lines."""

from cdcd.config.definition import Definition, Source
from cdcd.config.network import Endpoint


def summary(definition: Definition) -> list[tuple[str, str]]:
    """(label, text): what the definition comes to, defaults included."""
    source, sink, tables = definition.source, definition.sink, definition.tables
    start = definition.model_dump(mode="json", include={"start"})["start"]
    partition_by = sink.partition_by if isinstance(sink.partition_by, str) else ", ".join(sink.partition_by)
    return [
        ("instance", definition.name + (" (paused)" if definition.paused else "")),
        ("source", f"{', '.join(_server(source, one) for one in source.endpoints)}; credential {source.credential}"),
        ("tables", ", ".join(tables.include) + (f"; not {', '.join(tables.exclude)}" if tables.exclude else "")),
        ("start", start if isinstance(start, str) else ", ".join(f"{key} {value}" for key, value in start.items())),
        ("topic", f"{sink.topic} in Kafka cluster {sink.kafka}, partition by {partition_by}"),
        ("DDL topic", sink.ddl_topic.format(instance=definition.name) if sink.ddl_topic else "none"),
        ("messages", f"{definition.format.type} ({definition.format.compat}), {sink.delivery}"),
        *_placement(definition),
    ]


def _placement(definition: Definition) -> list[tuple[str, str]]:
    placement = definition.placement
    said = [
        f"{verb} {', '.join(f'{label}={value}' for label, value in labels.items())}"
        for verb, labels in (("requires", placement.require), ("prefers", placement.prefer))
        if labels
    ]
    if placement.weight != "auto":
        said.append(f"weight {placement.weight:g}")
    return [("placement", "; ".join(said))] if said else []


def _server(source: Source, endpoint: Endpoint) -> str:
    mode = source.effective_tls(endpoint.host).mode
    return f"{endpoint} ({'plain text' if mode == 'disabled' else f'TLS {mode}'})"

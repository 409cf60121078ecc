"""What a changed definition asks of the worker that runs it: a pure decision."""

from collections.abc import Mapping
from typing import Literal

from cdcd.config.definition import Definition

Change = Literal["none", "live", "reconnect"]
"""`live`: at a transaction boundary, on the connections that there are. `reconnect`: commit, close, take over anew under the
same lock."""

_WEIGHT: Mapping[Change, int] = {"none": 0, "live": 1, "reconnect": 2}

FIELDS: Mapping[str, Change] = {
    "version": "none",
    # Another name is another instance; where it is read, a definition has to bear its node's name.
    "name": "reconnect",
    # These two are the scheduler's: it takes the instance away from this server.
    "paused": "none",
    "placement": "none",
    "source": "reconnect",
    "tables": "live",
    # Counts only where no position is stored, and a running instance has stored one.
    "start": "none",
    "format": "live",
}
SINK_FIELDS: Mapping[str, Change] = {
    "kafka": "reconnect",
    "topic": "live",
    "ddl_topic": "live",
    "statements": "live",
    "create": "live",
    "partition_by": "live",
    # Another kind of producer.
    "delivery": "reconnect",
    "too_large": "live",
    "commit": "live",
}


def change_of(old: Definition, new: Definition) -> Change:
    """The most that any of the changed fields asks for."""
    asked = [FIELDS[field] for field in FIELDS if getattr(old, field) != getattr(new, field)]
    asked += [SINK_FIELDS[field] for field in SINK_FIELDS if getattr(old.sink, field) != getattr(new.sink, field)]
    return max(asked, key=_WEIGHT.__getitem__, default="none")

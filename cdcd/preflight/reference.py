"""The page of all checks: `python -m cdcd.preflight.reference > docs/preflight.md`."""

import sys
from collections.abc import Iterator
from typing import Any

from cdcd.preflight.found import Checks
from cdcd.preflight.kafka import kafka
from cdcd.preflight.mysql import mysql
from cdcd.preflight.zookeeper import zookeeper

SYSTEMS: dict[str, Checks[Any]] = {"A source (MySQL, MariaDB)": mysql, "Kafka": kafka, "ZooKeeper": zookeeper}
_HEAD = """\
# Preflight

`cdcctl preflight` asks your MySQL, Kafka and ZooKeeper for what may stop an instance or lose changes, and says of each finding what it is, why it matters, and the exact statement,
setting or command that mends it. It changes nothing and fences nobody, so it may be run beside instances that publish.

```console
$ cdcctl preflight                              # the fleet's ZooKeeper, and every instance
$ cdcctl preflight orders
$ cdcctl preflight -f orders.yaml               # before it is applied; needs no ZooKeeper
$ cdcctl preflight -o json | jq -r '.[].findings[] | select(.severity == "fatal") | .fix'
```

The exit status is 1 if anything is fatal, with `--strict` also for a warning. The same checks, but for those of ZooKeeper, run once beside each instance that starts: what they find is a log line and
an event (`preflight.finding`). What keeps an instance from running parks it besides, under the same code ([findings](findings.md)).

- **fatal**: the instance cannot run, or would lose changes
- **warning**: it will stop or lose something in a case that is likely to come
- **notice**: worth knowing; a decision may be behind it

What cannot be asked at all is a finding too: `source-unreachable`, `access-denied`, `kafka-unreachable` ([findings](findings.md)).

As in the [runbook](runbook.md): *why* is what it means, *as it should be* what to look at. What to do is printed with each finding, for your version and your names, ready to be pasted.
This page is generated: `python -m cdcd.preflight.reference > docs/preflight.md`.
"""


def reference() -> str:
    """Markdown."""
    return "\n".join([_HEAD, *(line for title, checks in SYSTEMS.items() for line in _table(title, checks))])


def _table(title: str, checks: Checks[Any]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield "| code | severity | as it should be | why |"
    yield "| --- | --- | --- | --- |"
    for rule in checks.rules:
        yield f"| `{rule.code}` | {rule.severity} | {rule.title} | {rule.why}. |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(reference())

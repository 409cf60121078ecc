"""How an operator sees that MySQL, Kafka or ZooKeeper is refused, or refuses: a worker's state, and what the commands say."""

import json
import secrets
import subprocess
import sys
from collections.abc import Callable

import pytest

from cdcd.errors import Finding, FindingError
from deploy.rig.load import create_tables
from deploy.rig.process import plain_environment, until
from deploy.rig.topics import OpenTransaction, read_committed, topics_like
from deploy.rig.worker import Instance, Worker

CDCCTL = (sys.executable, "-c", "from cdcd.cli.cdcctl import run; run()")


def refusal(action: Callable[[], object]) -> Finding:
    """What `action` raises."""
    with pytest.raises(FindingError) as error:
        action()
    return error.value.finding


def prepared(instance: Instance) -> Instance:
    """With tables, definition and credential."""
    create_tables(instance.source, instance.database)
    instance.write()
    return instance


def state(worker: Worker, wanted: str, code: str | None = None) -> str:
    """Waits until the instance is in that state, with that finding or none; what the finding says."""

    def reached() -> str | None:
        status = worker.status()
        shown = status["instances"][0] if status else {}
        finding = shown.get("finding") or {"code": None, "what": "", "remedy": ""}
        there = (shown.get("state"), finding["code"]) == (wanted, code)
        return f"{finding['what']}. {finding['remedy']}" if there else None

    try:
        return until(reached, f"it is {wanted} ({code})")
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{worker.said()}") from None


def publishes(instance: Instance, bootstrap: str) -> None:
    """Waits until a row that is inserted now can be read. `bootstrap`: where everybody may read."""
    note = secrets.token_hex(8)
    with instance.source.connect(instance.database) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO item SELECT COUNT(*), 'b', 1, 1, 1, %s, NOW(3) FROM item", (note,))
    topic = instance.topic.format(database=instance.database, table="item")

    def read() -> bool:
        try:
            found = list(read_committed(bootstrap, topics_like(bootstrap, topic)))
        except OpenTransaction:
            return False
        return any(note.encode() in record.value for record in found)

    try:
        until(read, f"the row {note} is published", every=0.2)
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{instance.workers[-1].said()}") from None


def ran(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """It has ended, and shown nobody a stack of calls."""
    given = plain_environment() | environment
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in done.stderr
    return done


def preflight(instance: Instance, system: str) -> dict[str, str]:
    """Codes of what it finds of `mysql` or `kafka` that is fatal, each with what it says."""
    done = ran(*CDCCTL, "preflight", "-f", str(instance.write()), "-o", "json", **instance.environment())
    assert done.returncode == 1, done.stderr
    fatal = [found for found in json.loads(done.stdout)[0]["findings"] if found["severity"] == "fatal"]
    return {found["code"]: f"{found['what']}. {found['fix']}" for found in fatal if found["system"] == system}

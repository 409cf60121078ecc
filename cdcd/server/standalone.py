"""`cdcd run --standalone`: one instance without ZooKeeper, fenced by Kafka alone."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from cdcd.config.definition import Definition
from cdcd.config.secrets import Credentials
from cdcd.config.settings import Settings
from cdcd.errors import Finding, FindingError
from cdcd.observe.failpoints import from_environment
from cdcd.observe.logging import Logs
from cdcd.observe.metrics import ProcessMetrics
from cdcd.observe.notify import Notifier
from cdcd.observe.registry import Registry
from cdcd.server.control import Control
from cdcd.server.http import Pages, StatusServer
from cdcd.server.rereading import FIXED_ALONE, Rereading
from cdcd.worker.definitions import Definitions
from cdcd.worker.instance import Ending, Instance, Patience
from cdcd.worker.journal import Journal
from cdcd.worker.ownership import Alone
from cdcd.worker.source import Identity
from cdcd.worker.stopping import StopSignal
from cdcd.worker.wiring import Wiring


def run_standalone(
    definition: Definition,
    settings: Settings,
    logs: Logs,
    versions: Mapping[str, str],
    read_settings: Callable[[], Settings],
    *,
    until_end: bool,
) -> Ending:
    """Run until stopped, replaced by a newer worker, or at the end. Raises FindingError for what is wrong at the start.

    `control.hold_signals` comes before it. `read_settings`: as they are when it is called.
    """
    if definition.paused:
        raise FindingError(_paused(definition))
    stop = StopSignal()
    reread = Rereading(settings, read_settings, lambda new: logs.set_level(new.log_level), FIXED_ALONE)
    control = Control(stop, Notifier.from_environment(), reread)
    journal = Journal(definition.name)
    wiring = Wiring(
        definitions=Definitions(definition, journal),
        settings=settings,
        credentials=Credentials.of(settings.credentials_dir, hide=logs.hide),
        identity=Identity.of(settings.cluster, definition.name),
        ownership=Alone(),
        journal=journal,
        stop=stop,
        failpoint=from_environment(os.environ),
    )
    instance = wiring.instance(Patience(park=not until_end), until_end=until_end)
    registry = Registry(versions, lambda: ProcessMetrics(log_lines_dropped=logs.dropped))
    registry.add(definition.name, wiring.figures.read)
    http = StatusServer(_pages(registry, control, instance), settings.http.host, settings.http.port)
    structlog.get_logger().info("process.started", reason=f"/status and /metrics at {http.host}:{http.port}")
    control.start(lambda: True, lambda: _sentence(definition, instance))
    try:
        return instance.run()
    except Exception:
        structlog.get_logger().exception("process.failed", reason="a defect of cdcd: please report it with this log")
        raise
    finally:
        http.close()


def _pages(registry: Registry, control: Control, instance: Instance) -> Pages:
    def status() -> dict[str, Any]:
        return {"instances": [instance.status()]}

    return Pages(registry.render, control.alive, lambda: instance.state == "running", status)


def _sentence(definition: Definition, instance: Instance) -> str:
    finding = instance.finding
    return f"{definition.name}: {instance.state}" + (f", {finding.code}: {finding.what}" if finding else "")


def _paused(definition: Definition) -> Finding:
    what = f"instance {definition.name} is paused by its definition"
    return Finding("instance-paused", "operator", what, "Set paused: false to run it")

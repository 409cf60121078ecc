"""What the demo shows while it works: rates, lag and sample messages. Redrawn on a terminal, a line now and then elsewhere."""

import json
import threading
import time
import uuid
from collections import deque
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.demo.overview import Overview, Shown

_EVERY = 0.5
_PLAIN_EVERY = 3.0
_SAMPLES = 5


class Screen:
    """A context: draws from a thread of its own until left."""

    def __init__(self, console: Console, bootstrap: str, overview: Overview) -> None:
        self._console, self._bootstrap, self._overview = console, bootstrap, overview
        self._samples: deque[str] = deque(maxlen=_SAMPLES)
        self._news: deque[str] = deque(maxlen=12)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._draw, daemon=True),
            threading.Thread(target=self._sample, daemon=True),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(10)

    def say(self, text: str) -> None:
        """News: kept on the screen, printed at once elsewhere."""
        if self._console.is_terminal:
            self._news.append(text)
        else:
            self._console.print(Text(text), soft_wrap=True)

    def _draw(self) -> None:
        if not self._console.is_terminal:
            self._print_now_and_then()
            return
        with Live(self._picture(), console=self._console, auto_refresh=False) as live:
            while not self._stopping.wait(_EVERY):
                self._overview.look(_EVERY)
                live.update(self._picture(), refresh=True)

    def _print_now_and_then(self) -> None:
        while not self._stopping.wait(_PLAIN_EVERY):
            self._overview.look(_PLAIN_EVERY)
            for server, names in sorted(self._overview.servers.items()):
                shown = (self._overview.instances[name] for name in names)
                self._console.print(Text(f"  {server}: {', '.join(map(_brief, shown)) or 'nothing'}"), soft_wrap=True)
            if self._samples:
                self._console.print(Text(f"  {self._samples[-1]}", style="dim"), soft_wrap=True)

    def _picture(self) -> Group:
        table = Table("instance", "server", "state", "messages/s", "messages", "lag", title=self._title())
        for each in self._overview.instances.values():
            rate, messages = f"{each.rate:,.0f}", f"{each.messages:,.0f}"
            table.add_row(each.name, each.server, each.state, rate, messages, _lag(each))
        samples = (Text(sample, style="dim", no_wrap=True, overflow="ellipsis") for sample in self._samples)
        return Group(*(Text(line) for line in self._news), table, *samples)

    def _title(self) -> str:
        servers = sorted(self._overview.servers.items())
        return "  ".join(f"{server} {'■' * len(names) or '·'}" for server, names in servers) or "no server runs"

    def _sample(self) -> None:
        """A read_committed consumer at the end of all topics, taking a message now and then."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": f"demo-{uuid.uuid4()}",
                "isolation.level": "read_committed",
                "auto.offset.reset": "latest",
                "topic.metadata.refresh.interval.ms": 1000,
                "log_level": 2,
            }
        )
        consumer.subscribe(["^cdc[.].*"])
        try:
            while not self._stopping.is_set():
                for message in consumer.consume(2000, 0.3)[-1:]:
                    value = message.value()
                    if message.error() is None and isinstance(value, bytes):
                        self._samples.append(_short(value))
                time.sleep(0.1)
        finally:
            consumer.close()


def _brief(each: Shown) -> str:
    return f"{each.name} {each.rate:,.0f}/s" if each.state == "running" else f"{each.name} {each.state}"


def _lag(each: Shown) -> str:
    return "-" if each.lag is None else f"{each.lag:.3f} s"


def _short(value: bytes) -> str:
    """The parts of a message that a person looks at."""
    body = json.loads(value)
    if body["isDdl"]:
        return f"id {body['id']} {body['type']} {body['sql']}"
    old = f" old {json.dumps(body['old'][0], ensure_ascii=False)}" if body["old"] else ""
    return f"id {body['id']} {body['type']} {body['table']} {json.dumps(body['data'][0], ensure_ascii=False)}{old}"

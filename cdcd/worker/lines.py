"""Messages as lines in commit order, whatever the table: what `cdcd tail` and `cdcd decode` print."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import Decoder, Route
from cdcd.binlog.spans import Place
from cdcd.config.tables import TableFilter
from cdcd.formats.plan import Keying
from cdcd.formats.template import Format
from cdcd.worker.catalog import Catalog, Names
from cdcd.worker.statements import ddl_message, refuse_changes

if TYPE_CHECKING:
    from cdcd.binlog.core.native import Reread

Write = Callable[[list[bytes]], None]
"""Takes messages in commit order."""


class Lines:
    """A decoder and where its messages go; whoever feeds it calls `take` and `handle_statement` between its steps."""

    def __init__(
        self,
        tables: TableFilter,
        template: Format,
        names: Names,
        write: Write,
        reread: "Reread | None" = None,
        *,
        ddl: bool = False,
    ) -> None:
        self._tables = tables
        self._template = template
        self._write = write
        self._ddl = ddl
        self.statements = 0
        """Statements written."""
        # One route with one partition keeps the order.
        route = Route("stdout", 1)
        self._catalog = Catalog(tables, template, Keying(shared=True), lambda _: route, names)
        self.decoder = decoder = Decoder(self._catalog, inflate, None, reread)
        self._catalog.place = lambda: Place(*decoder.place)

    def take(self) -> None:
        """Write what was decoded. Also after an error: it came before the event that cannot be read."""
        for _, _, _, values, _ in self.decoder.take_runs():
            self._write(values)

    def handle_statement(self) -> None:
        """Raises UnsupportedEvent for rows changed by a statement in an included database."""
        decoder = self.decoder
        refuse_changes(decoder, self._tables)
        for database, table in self._catalog.doubtful(decoder.statement):
            decoder.forget(database, table)
        if self._ddl and (message := ddl_message(decoder, self._tables, self._template)) is not None:
            self.statements += 1
            self._write([message])

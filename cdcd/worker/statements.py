"""What becomes of statements in the binlog: DDL goes to its topic, account statements to nobody, DML where the definition says."""

import time

from cdcd.binlog.core.native import Decoder, Route, Statement
from cdcd.binlog.statements import StatementClass, classify, ddl_kind, first_words
from cdcd.config.tables import TableFilter
from cdcd.errors import UnsupportedEvent
from cdcd.formats.template import DdlMessage, Format
from cdcd.kafka.sink import Sink
from cdcd.worker.catalog import Catalog

_CHANGES = {
    StatementClass.DML: "rows were changed by a statement that is logged as text"
    " (binlog_format STATEMENT or MIXED in some session)",
    StatementClass.UNKNOWN: "a statement that cdcd does not know may have changed rows",
}
"""Why a statement of these classes stops the instance."""


class Statements:
    """Handles the decoder's STATEMENT steps of one instance."""

    def __init__(
        self,
        *,
        tables: TableFilter,
        template: Format,
        route: Route | None,
        catalog: Catalog,
        sink: Sink,
        id_prefix: bytes | None,
        publish_changes: bool = False,
    ) -> None:
        """`publish_changes`: a statement that changes rows goes to `route` too (`sink.statements: ddl-topic`)."""
        self._tables = tables
        self._template = template
        self._route = route
        self._catalog = catalog
        self._sink = sink
        self._id_prefix = id_prefix
        self._publish_changes = publish_changes

    def handle(self, decoder: Decoder) -> None:
        """Raises UnsupportedEvent for rows changed by a statement in an included database, unless those are published."""
        statement = decoder.statement
        for database, table in self._catalog.doubtful(statement):
            decoder.forget(database, table)
        if not self._publish_changes:
            refuse_changes(decoder, self._tables)
        if self._route is None:
            return
        message = ddl_message(decoder, self._tables, self._template, changes=self._publish_changes)
        if message is not None:
            ids = (
                None
                if self._id_prefix is None
                else [b"%b;%d;%b" % (self._id_prefix, decoder.seq, decoder.transaction.encode())]
            )
            self._sink.write(self._route.topic, 0, [None], [message], ids)


def ddl_message(decoder: Decoder, tables: TableFilter, template: Format, *, changes: bool = False) -> bytes | None:
    """The decoder's statement as a message, which takes the next number; None unless it is DDL in an included database.

    `changes`: or one that changes rows there.
    """
    statement, sql = decoder.statement, decoder.statement.sql.decode("utf-8", "replace")
    wanted = {StatementClass.DDL, *_CHANGES} if changes else {StatementClass.DDL}
    if classify(sql) not in wanted or not _concerns(statement, tables):
        return None
    decoder.seq += 1
    return template.ddl(
        DdlMessage(
            database=statement.database or (statement.databases or ("",))[0],
            sql=sql,
            kind=ddl_kind(sql),
            gtid=decoder.transaction if decoder.has_gtid else "",
            seq=decoder.seq,
            batch=decoder.batch,
            statement_ms=decoder.event_seconds * 1000,
            commit_ms=decoder.commit_us // 1000,
            built_ms=time.time_ns() // 1_000_000,
        )
    )


def refuse_changes(decoder: Decoder, tables: TableFilter) -> None:
    """Raises UnsupportedEvent if the decoder's statement changes rows in an included database, or may."""
    statement, sql = decoder.statement, decoder.statement.sql.decode("utf-8", "replace")
    why = _CHANGES.get(classify(sql))
    if why is not None and _concerns(statement, tables):
        begins = " ".join(first_words(sql, 1)) or "no word"
        raise UnsupportedEvent(f"{why}; it begins with {begins}", decoder.file, decoder.offset, decoder.event_type)


def _concerns(statement: Statement, tables: TableFilter) -> bool:
    if statement.databases is None:
        return True
    databases = statement.databases or (statement.database,)
    return any(tables.may_match_database(database) for database in databases)

# What cdcd uses of mysql-replication 1.0.17, typed.

from collections.abc import Callable
from typing import Any

class BinLogStreamReader:
    log_file: str | None
    log_pos: int | None
    mysql_version: tuple[int, ...]
    _stream_connection: Any
    _ctl_connection: Any
    def __init__(
        self,
        connection_settings: dict[str, Any],
        server_id: int,
        ctl_connection_settings: dict[str, Any] | None = None,
        *,
        resume_stream: bool = False,
        blocking: bool = False,
        auto_position: str | None = None,
        filter_non_implemented_events: bool = True,
        report_slave: str | None = None,
        slave_uuid: str | None = None,
        slave_heartbeat: float | None = None,
        pymysql_wrapper: Callable[..., Any] | None = None,
        enable_logging: bool = True,
    ) -> None: ...
    def fetchone(self) -> object: ...
    def close(self) -> None: ...

"""Which server it is: flavour, version, identity. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Flavour = Literal["mysql", "mariadb"]

_NEW_STATUS_STATEMENT = (8, 2)
"""SHOW BINARY LOG STATUS came with 8.2; its old name went with 8.4."""
_SHOW_REPLICAS = (8, 0, 22)
_DATA_DICTIONARY = (8, 0)

_ROW_METADATA: dict[Flavour, tuple[int, ...]] = {"mysql": (8, 0, 1), "mariadb": (10, 5)}


@dataclass(frozen=True, slots=True)
class Version:
    """Of a server, by what `SELECT VERSION()` says."""

    text: str
    """`9.7.4-2`, `10.11.18-MariaDB-log`."""

    @property
    def flavour(self) -> Flavour:
        return "mariadb" if "mariadb" in self.text.lower() else "mysql"

    @property
    def product(self) -> str:
        return "MariaDB" if self.flavour == "mariadb" else "MySQL"

    @property
    def numbers(self) -> tuple[int, ...]:
        match = re.match(r"(\d+)\.(\d+)\.(\d+)", self.text)
        return tuple(map(int, match.groups())) if match else (0, 0, 0)

    @property
    def names_columns(self) -> bool:
        """Whether its binlog can (`binlog_row_metadata`)."""
        return self.numbers >= _ROW_METADATA[self.flavour]

    @property
    def has_data_dictionary(self) -> bool:
        """Else, as with every MariaDB, information_schema opens the files of all the tables it is asked for."""
        return self.flavour == "mysql" and self.numbers >= _DATA_DICTIONARY

    def setting(self, name: str, value: str) -> str:
        """The statement that changes a setting of the server, for good where it can."""
        persist = self.flavour == "mysql" and self.numbers >= (8,)
        return f"SET {'PERSIST' if persist else 'GLOBAL'} {name} = '{value}'"

    @property
    def end_statement(self) -> str:
        """What shows the end of the binlog. Needs REPLICATION CLIENT."""
        new = self.flavour == "mysql" and self.numbers >= _NEW_STATUS_STATEMENT
        return "SHOW BINARY LOG STATUS" if new else "SHOW MASTER STATUS"

    @property
    def replicas_statement(self) -> str:
        """What needs REPLICATION SLAVE; empty with MariaDB, where nothing that only reads does."""
        if self.flavour == "mariadb":
            return ""
        return "SHOW REPLICAS" if self.numbers >= _SHOW_REPLICAS else "SHOW SLAVE HOSTS"


def server_identity(variables: Mapping[str, str]) -> str:
    """Of `server_uuid`, `server_id` and `version` what stands for the server in a position (Position.server_uuid)."""
    if Version(variables.get("version", "")).flavour == "mariadb":
        return f"server-id-{variables['server_id']}"
    return variables.get("server_uuid", "")

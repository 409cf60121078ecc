"""SIGHUP: settings are read anew, and what can change in a running process does."""

from collections.abc import Callable, Collection

import structlog

from cdcd.config.settings import Settings
from cdcd.errors import InvalidConfig

FIXED_IN_A_FLEET = frozenset({"cluster", "server_id", "http", "zookeeper"})
"""What a server is known by, and where: other servers, files and connections rest on it."""
FIXED_ALONE = frozenset(Settings.model_fields) - {"log_level"}


class Rereading:
    """Call it when the settings are to be read anew. Never raises: with mistakes in them all stays as it is."""

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        use: Callable[[Settings], None],
        fixed: Collection[str],
    ) -> None:
        """`read`: the settings as a start would have them now. `use` is given them, with the `fixed` fields as they were."""
        self._settings = settings
        self._read = read
        self._use = use
        self._fixed = fixed
        self._log = structlog.get_logger()

    def __call__(self) -> None:
        try:
            self._apply(self._read())
        except (InvalidConfig, OSError) as error:
            self._log.error("settings.refused", reason=f"all stays as it is: {error}")
        except Exception:  # noqa: BLE001 - it runs where signals are heard: that must go on
            self._log.exception("settings.refused", reason="a defect of cdcd: please report it with this log")

    def _apply(self, read: Settings) -> None:
        differing = {name for name in Settings.model_fields if getattr(read, name) != getattr(self._settings, name)}
        changed, kept = differing - set(self._fixed), differing & set(self._fixed)
        settings = read.model_copy(update={name: getattr(self._settings, name) for name in self._fixed})
        if changed:
            self._settings = settings
            self._use(settings)
        self._log.info("settings.read", reason=f"changed: {_listed(changed)}")
        if kept:
            self._log.warning("settings.kept", reason=f"takes a restart: {_listed(kept)}")


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"

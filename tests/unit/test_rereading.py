"""What becomes of settings that are read anew."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from cdcd.config.settings import Settings
from cdcd.errors import InvalidConfig, Problem
from cdcd.server.rereading import FIXED_ALONE, FIXED_IN_A_FLEET, Rereading

OLD = Settings.model_validate({"cluster": "prod", "server_id": "a"})


def reread(
    read: Callable[[], Settings], *, fixed: frozenset[str] = FIXED_IN_A_FLEET
) -> tuple[list[Settings], list[str]]:
    """What is used from then on, and what the log says."""
    used: list[Settings] = []
    with capture_logs() as lines:
        Rereading(OLD, read, used.append, fixed)()
    return used, [f"{line['event']}: {line['reason']}" for line in lines]


def test_what_can_change_changes() -> None:
    new = OLD.model_copy(
        update={"log_level": "debug", "scheduling": OLD.scheduling.model_copy(update={"max_moves": 1})}
    )
    used, said = reread(lambda: new)
    assert used == [new]
    assert said == ["settings.read: changed: log_level, scheduling"]


def test_what_a_server_is_known_by_stays() -> None:
    used, said = reread(lambda: OLD.model_copy(update={"cluster": "other", "log_level": "debug"}))
    assert [(each.cluster, each.log_level) for each in used] == [("prod", "debug")]
    assert said == ["settings.read: changed: log_level", "settings.kept: takes a restart: cluster"]


def test_alone_the_log_level_alone_changes() -> None:
    new = OLD.model_copy(update={"scheduling": OLD.scheduling.model_copy(update={"max_moves": 1})})
    used, said = reread(lambda: new, fixed=FIXED_ALONE)
    assert used == []
    assert said == ["settings.read: changed: nothing", "settings.kept: takes a restart: scheduling"]


def test_a_change_back_is_a_change() -> None:
    used: list[Settings] = []
    answers = iter([OLD.model_copy(update={"log_level": "debug"}), OLD, OLD])
    rereading = Rereading(OLD, lambda: next(answers), used.append, FIXED_IN_A_FLEET)
    for _ in range(3):
        rereading()
    assert [each.log_level for each in used] == ["debug", "info"]


@pytest.mark.parametrize(
    "error", [InvalidConfig("cdcd.toml", (Problem("fleet", "bad"),)), FileNotFoundError("gone"), KeyError("x")]
)
def test_with_mistakes_all_stays(error: Exception) -> None:
    def fail() -> Settings:
        raise error

    used, said = reread(fail)
    assert used == []
    assert [line.partition(":")[0] for line in said] == ["settings.refused"]

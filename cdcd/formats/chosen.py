"""From a definition's `format` to what the core executes."""

from cdcd.config.definition import Format as Chosen
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.canal_strict import canal_json_strict
from cdcd.formats.template import Format


def format_of(chosen: Chosen) -> Format:
    if chosen.strict_timezone is not None:
        return canal_json_strict(chosen.strict_timezone)
    return CANAL_JSON

"""`cdcd check-config`."""

from pathlib import Path

import click
import orjson

from cdcd.cli.failures import failures


@click.command("check-config")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file (TOML). Default: /etc/cdcd/cdcd.toml.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def check_config(config: Path | None, output: str) -> None:
    """Print the settings in effect and where each comes from: default, file, environment or flag.

    Settings hold no secrets: passwords stand in credential files, of which only the names are shown.
    """
    from cdcd.config.settings import effective_settings, load_settings

    with failures():
        effective = effective_settings(load_settings(config))
    if output == "json":
        click.echo(orjson.dumps(effective, option=orjson.OPT_INDENT_2).decode())
        return
    for path, entry in effective.items():
        click.echo(f"{path} = {orjson.dumps(entry['value']).decode()}  # {entry['origin']}")

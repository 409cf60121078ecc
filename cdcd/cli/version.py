"""`version` of both commands."""

import platform
from importlib.metadata import version as version_of

import click


def versions() -> dict[str, str]:
    """What runs: cdcd, Python and the clients."""
    from cdcd.kafka.client import librdkafka_version

    return {
        "cdcd": version_of("cdcd"),
        "python": platform.python_version(),
        "mysql-replication": version_of("mysql-replication"),
        "confluent-kafka": version_of("confluent-kafka"),
        "librdkafka": librdkafka_version(),
    }


@click.command()
def version() -> None:
    """Print the versions of cdcd and of what it is built on."""
    for name, text in versions().items():
        click.echo(f"{name} {text}")

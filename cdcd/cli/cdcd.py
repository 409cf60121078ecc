"""The daemon's command: `cdcd run`, `cdcd tail`, `cdcd check-config`, `cdcd version`."""

import click

from cdcd.cli.check_config import check_config
from cdcd.cli.decode import decode
from cdcd.cli.run import run
from cdcd.cli.tail import tail
from cdcd.cli.version import version
from cdcd.observe.private_memory import keep_memory_private


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Change data capture from MySQL into Kafka, exactly once.

    \b
    See what a server writes, with neither Kafka nor ZooKeeper:
        cdcd tail --host db1 --user cdcd --password-env MYSQL_PWD --tables 'shop.*' --start latest
    See what stands in a binlog file, with no server at all:
        cdcd decode binlog.000003
    Publish one instance without ZooKeeper:
        cdcd run --standalone orders.yaml
    """
    keep_memory_private()


main.add_command(run)
main.add_command(tail)
main.add_command(decode)
main.add_command(check_config)
main.add_command(version)

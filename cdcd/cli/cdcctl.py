"""`cdcctl`, the operators' command."""

import click

from cdcd.cli.ctl.apply import apply, diff
from cdcd.cli.ctl.completion import completion
from cdcd.cli.ctl.describe import describe
from cdcd.cli.ctl.events import events
from cdcd.cli.ctl.get import get
from cdcd.cli.ctl.orders import move, restart
from cdcd.cli.ctl.pause import delete, pause, resume
from cdcd.cli.ctl.plan import plan
from cdcd.cli.ctl.position import position
from cdcd.cli.ctl.preflight import preflight
from cdcd.cli.ctl.reach import hush
from cdcd.cli.ctl.servers import drain, retire, uncordon
from cdcd.cli.ctl.top import top
from cdcd.cli.ctl.validate import validate
from cdcd.cli.version import version
from cdcd.observe.private_memory import keep_memory_private

GROUPS = {
    "See": (get, describe, top, events, plan, position),
    "Define": (validate, preflight, diff, apply, delete),
    "Run": (pause, resume, restart, move),
    "Servers": (drain, uncordon, retire),
    "Other": (completion, version),
}
"""Verbs, as --help lists them."""


class Verbs(click.Group):
    """Lists the verbs by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        for heading, verbs in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(verb.name or "", verb.get_short_help_str(90)) for verb in verbs])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def main() -> None:
    """Run a fleet of cdcd servers: which instances there are, where they run, how far they are.

    An instance is one job: some tables of one MySQL server, published to Kafka. You define it in a file; the fleet
    finds a server for it, keeps it running, and moves it when that server goes away.

    \b
        name: orders
        source: {host: mysql-a, credential: orders-db}
        tables: {include: ["shop.*"]}
        sink: {topic: "cdc.{database}.{table}"}

    \b
        $ cdcctl validate -f orders.yaml     # is it right?
        $ cdcctl apply -f orders.yaml        # let it run
        $ cdcctl get                         # does it?
        $ cdcctl describe orders             # if not: why, and what to do
        $ cdcctl pause orders                # stop it; it goes on there after: cdcctl resume orders

    The fleet's ZooKeeper stands in the settings (`--config`, /etc/cdcd/cdcd.toml) or in the environment:

    \b
        $ export CDCD_ZOOKEEPER__HOSTS=zk1:2181,zk2:2181,zk3:2181

    Data goes to standard output, messages to standard error; -o json is for scripts. Repeating a command does no harm.

    \b
    Exit status, of all verbs:
        0 ok             3 not found
        1 error          4 conflict: not in this state, or somebody else was quicker
        2 usage          5 invalid definition or settings
                         6 ZooKeeper does not answer, or it was not done in time
    """


for verb in (verb for verbs in GROUPS.values() for verb in verbs):
    main.add_command(verb)


def run() -> None:
    """The program."""
    keep_memory_private()
    hush()
    main(prog_name="cdcctl")

"""The checks of the fleet's ZooKeeper. Pure; source: ZooKeeper Administrator's Guide, "Advanced Configuration"."""

from collections.abc import Iterator

from cdcd.fleet.survey import ZookeeperFacts
from cdcd.preflight.found import Checks, Said, listed

SPARE = 10
"""Connections beside one of each worker: the server's own, those of a hand-over, and `cdcctl`."""
LARGE_BYTES = 512 << 10
"""Half of what a node may hold (jute.maxbuffer)."""

zookeeper = Checks[ZookeeperFacts]("zookeeper")


@zookeeper.rule(
    "zookeeper-open", "warning", "Everybody who reaches ZooKeeper can stop instances, or have them publish elsewhere"
)
def access(facts: ZookeeperFacts) -> Iterator[Said]:
    """Only the fleet's account may change its tree."""
    if facts.open_to_all:
        yield (
            f"everybody may change {listed(facts.open_to_all)}: zookeeper.auth is not set, or was not when that was made",
            f"setAcl -R {facts.chroot} auth::cdrwa  # in zkCli.sh, logged in as the account of zookeeper.auth",
        )


@zookeeper.rule(
    "zookeeper-session-timeout",
    "warning",
    "Instances are given away sooner, or stay without an owner for longer, than the settings say",
)
def session_timeout(facts: ZookeeperFacts) -> Iterator[Said]:
    """ZooKeeper grants the session timeout that is asked for."""
    if abs(facts.timeout - facts.asked_timeout) > 0.001:
        yield (
            f"asked for sessions of {facts.asked_timeout:g} s, the servers grant {facts.timeout:g} s",
            f'zookeeper.session_timeout = "{facts.timeout:g}s"',
        )


@zookeeper.rule(
    "zookeeper-connection-limit",
    "warning",
    "Workers above the limit cannot connect: their instances do not run on that server",
)
def connections(facts: ZookeeperFacts) -> Iterator[Said]:
    """All instances could run on one server."""
    needed = facts.instances + SPARE
    limits = {server: limit for server, limit in facts.connection_limits.items() if limit and limit < needed}
    if limits:
        named = (f"{server} ({limit})" for server, limit in limits.items())
        yield f"maxClientCnxns is below {needed} on {listed(named)}", "maxClientCnxns=0  # in zoo.cfg, and restart"


@zookeeper.rule(
    "zookeeper-limit-unknown",
    "notice",
    "Whether all instances could run on one server shows only when that one takes over",
)
def unknown_limit(facts: ZookeeperFacts) -> Iterator[Said]:
    """The servers say how many connections they take."""
    silent = [server for server, limit in facts.connection_limits.items() if limit is None]
    if silent:
        yield (
            f"maxClientCnxns is not known of {listed(silent)}",
            "4lw.commands.whitelist=srvr,conf  # in zoo.cfg, and restart",
        )


@zookeeper.rule(
    "zookeeper-node-size", "warning", "At 1 MiB ZooKeeper refuses it; and every server reads all definitions"
)
def node_size(facts: ZookeeperFacts) -> Iterator[Said]:
    """Definitions are far smaller than a node may be."""
    large = {path: size for path, size in facts.sizes.items() if size > LARGE_BYTES}
    if large:
        named = (f"{path} ({size:,} bytes)" for path, size in large.items())
        yield f"large definitions: {listed(named)}", "Name fewer, wider rules in tables.include, or split the instance"

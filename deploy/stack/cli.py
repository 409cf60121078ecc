"""The command line: parse, call, print. Data goes to stdout, progress and errors to stderr."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.stack.home import Home, StackError
from deploy.stack.kafka import KafkaSettings
from deploy.stack.mysql import FLAVOURS, NEWEST, MysqlSettings
from deploy.stack.stack import SERVICES, Stack
from deploy.stack.zookeeper import ZookeeperSettings

ALL = f"which of {', '.join(SERVICES)} (all when none is named)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status (1 when it failed, 2 for wrong usage)."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except StackError as error:
        sys.stderr.write("\n".join([f"deploy/stack: {error}", *getattr(error, "__notes__", [])]) + "\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("deploy/stack: interrupted; `destroy` removes what was started\n")
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deploy/stack",
        description="Real MySQL, ZooKeeper and Kafka without containers: test equipment.",
        epilog="CDCD_STACK_HOME is the folder for downloads and data, CDCD_STACK_MIRROR a Debian mirror; JAVA_HOME is honoured.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str, *, services: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("--name", default="default", help="which stack; several run side by side (%(default)s)")
        if services:
            sub.add_argument("services", nargs="*", metavar="SERVICE", help=ALL)
        return sub

    up = command("up", _up, "start servers and wait until they answer", services=True)
    up.add_argument("--brokers", type=int, metavar="N", help="Kafka brokers of a new cluster (1)")
    _add_flavour(up)
    up.add_argument(
        "--mysql",
        action="append",
        metavar="OPTION",
        help="mysqld option, as --mysql=--binlog-format=STATEMENT; repeatable",
    )
    up.add_argument("--kafka", action="append", metavar="KEY=VALUE", help="broker setting; repeatable")
    up.add_argument(
        "--zookeeper", action="append", metavar="KEY=VALUE", help="setting of zoo.cfg, as tickTime=2000; repeatable"
    )
    up.add_argument(
        "--kafka-sasl", action="store_true", default=None, help="add a listener with accounts; ACLs in force"
    )
    up.add_argument(
        "--tls",
        type=_files,
        metavar="CA,CERT,KEY",
        help="PEM files: MySQL shows them, Kafka and ZooKeeper on another port",
    )
    up.add_argument("--kafka-heap", metavar="SIZE", help="Java heap of a broker (512m)")
    check = command("check", _check, "whether this machine has what the servers need", services=True)
    _add_flavour(check)
    down = command("down", _down, "stop servers, keep their data", services=True)
    down.add_argument("--kill", action="store_true", help="with SIGKILL")
    restart = command("restart", _restart, "stop and start on the same ports", services=True)
    restart.add_argument("--kill", action="store_true", help="with SIGKILL")
    status = commands.add_parser("status", help="what runs; exit status 1 when a server of the stack does not")
    status.set_defaults(run=_status)
    status.add_argument("--name", help="one stack (all)")
    env = command("env", _env, "print where the servers answer")
    env.add_argument("-o", "--output", choices=["shell", "json"], default="shell")
    logs = command("logs", _logs, "print the end of each server's log", services=True)
    logs.add_argument("--lines", type=int, default=40, metavar="N", help="of each log (%(default)s)")
    command("destroy", _destroy, "kill the servers, delete their data; downloads stay")
    return parser


def _add_flavour(parser: argparse.ArgumentParser) -> None:
    text = f"which server `mysql` is, fixed when it is made: {', '.join(FLAVOURS)} ({NEWEST})"
    parser.add_argument("--flavour", metavar="FLAVOUR", choices=FLAVOURS, help=text)


def _up(options: argparse.Namespace) -> int:
    started = time.monotonic()
    stack = Stack(options.name)
    stack.up(
        *options.services,
        mysql=_mysql(options, stack),
        kafka=_kafka(options, stack),
        zookeeper=_zookeeper(options),
    )
    sys.stderr.write(f"{options.name}: up in {time.monotonic() - started:.1f} s\n")
    return _print_env(stack, "shell")


def _check(options: argparse.Namespace) -> int:
    settings = MysqlSettings(flavour=options.flavour) if options.flavour else None
    missing = Stack(options.name).missing(*options.services, mysql=settings)
    sys.stderr.write("".join(f"deploy/stack: {line}\n" for line in missing))
    return 1 if missing else 0


def _mysql(options: argparse.Namespace, stack: Stack) -> MysqlSettings | None:
    """The settings named, on top of those the server was made with."""
    given = [*(options.mysql or ())]
    if options.tls:
        given += [f"--ssl-{name}={path}" for name, path in zip(("ca", "cert", "key"), options.tls, strict=True)]
    named = {"flavour": options.flavour, "options": tuple(given) or None}
    return stack.mysql_settings({key: value for key, value in named.items() if value is not None})


def _kafka(options: argparse.Namespace, stack: Stack) -> KafkaSettings | None:
    """The settings named, on top of those the cluster was made with."""
    overrides = dict(_pair(item) for item in options.kafka) if options.kafka else None
    tls = {"tls": options.tls} if options.tls else None
    named = {
        "brokers": options.brokers,
        "sasl": options.kafka_sasl,
        "tls": tls,
        "overrides": overrides,
        "heap": options.kafka_heap,
    }
    return stack.kafka_settings({key: value for key, value in named.items() if value is not None})


def _zookeeper(options: argparse.Namespace) -> ZookeeperSettings | None:
    if not options.zookeeper and not options.tls:
        return None
    return ZookeeperSettings(dict(_pair(item) for item in options.zookeeper or ()), options.tls)


def _files(text: str) -> tuple[str, str, str]:
    ca, certificate, key = (str(Path(name).resolve()) for name in text.split(","))
    return ca, certificate, key


def _pair(item: str) -> tuple[str, str]:
    key, separator, value = item.partition("=")
    if not separator:
        raise StackError(f"{item}: write KEY=VALUE")
    return key, value


def _down(options: argparse.Namespace) -> int:
    Stack(options.name).down(*options.services, kill=options.kill)
    return 0


def _restart(options: argparse.Namespace) -> int:
    stack = Stack(options.name)
    stack.restart(*options.services, kill=options.kill)
    return _print_env(stack, "shell")


def _status(options: argparse.Namespace) -> int:
    names = [options.name] if options.name else Home().stack_names()
    missing = 0
    for name in names:
        for daemon in Stack(name).daemons():
            pid = daemon.pid()
            missing += pid is None
            print(f"{name:<20} {daemon.name:<12} {f'pid {pid}' if pid else 'stopped':<12} {daemon.log}")
    return 1 if missing else 0


def _env(options: argparse.Namespace) -> int:
    return _print_env(Stack(options.name), options.output)


def _print_env(stack: Stack, output: str) -> int:
    values = dict(stack.endpoints().assignments())
    if not values:
        raise StackError(f"stack {stack.name!r} does not exist: run `up --name {stack.name}`")
    if output == "json":
        print(json.dumps(values, indent=2))
    else:
        print("\n".join(f"{key}={shlex.quote(value)}" for key, value in values.items()))
    return 0


def _logs(options: argparse.Namespace) -> int:
    for daemon in Stack(options.name).daemons(*options.services):
        print(f"==> {daemon.name}: {daemon.log}")
        if daemon.log.exists():
            print("\n".join(daemon.log.read_text(errors="replace").splitlines()[-options.lines :]))
    return 0


def _destroy(options: argparse.Namespace) -> int:
    Stack(options.name).destroy()
    return 0

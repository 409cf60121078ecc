"""Each finding about ZooKeeper, provoked on a real server, its remedy carried out, and the finding gone."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper, ZooKeeperAuth
from cdcd.fleet import paths
from cdcd.fleet.registry import ensure_tree
from cdcd.fleet.session import Session
from cdcd.fleet.survey import survey
from cdcd.preflight.found import Found
from cdcd.preflight.zookeeper import zookeeper as checks
from tests.instances import Figures
from tests.servers import ZookeeperFactory

pytestmark = [pytest.mark.must_show("6.4"), pytest.mark.prove]

WORDS = {"4lw.commands.whitelist": "srvr,conf"}
ZOO_CFG = re.compile(r"([\w.]+)=(\S+)  # in zoo.cfg")


def findings(ensemble: ZooKeeper, credentials: Path | None = None) -> dict[str, Found]:
    session = Session(ensemble, Credentials(credentials), "preflight")
    try:
        session.start(10)
        ensure_tree(session, "preflight")
        return {found.code: found for found in checks(survey(session, ensemble))}
    finally:
        session.close()


def give(ensemble: ZooKeeper, fix: str) -> None:
    """`setAcl -R <chroot> auth::cdrwa` of zkCli.sh, as the account."""
    chroot = fix.split()[2]
    client = KazooClient(",".join(ensemble.hosts), auth_data=[("digest", "cdcd:secret")])
    client.start()

    def each(path: str) -> None:
        for name in client.get_children(path):
            each(f"{path}/{name}")
        client.set_acls(path, CREATOR_ALL_ACL)

    each(chroot)
    client.stop()
    client.close()


def test_settings_of_both_sides(zookeeper_server: ZookeeperFactory, figures: Figures) -> None:
    server = zookeeper_server({"maxClientCnxns": "8", "maxSessionTimeout": "2000", **WORDS})
    ensemble = server.ensemble(session_timeout="3s")
    provoked = findings(ensemble)
    expected = {"zookeeper-connection-limit", "zookeeper-session-timeout", "zookeeper-open"}
    assert provoked.keys() == expected
    setting = tomllib.loads(provoked["zookeeper-session-timeout"].fix)["zookeeper"]
    mended = ZooKeeper(hosts=list(ensemble.hosts), chroot=ensemble.chroot, **setting)
    assert "zookeeper-session-timeout" not in findings(mended)
    change: dict[str, Any] = dict(ZOO_CFG.findall(provoked["zookeeper-connection-limit"].fix))
    other = zookeeper_server({**change, "maxSessionTimeout": "2000", **WORDS})
    assert "zookeeper-connection-limit" not in findings(other.ensemble(session_timeout="2s"))
    figures({"system": "zookeeper", "provoked and mended": ["zookeeper-connection-limit", "zookeeper-session-timeout"]})


def test_a_tree_that_everybody_may_change(zookeeper_server: ZookeeperFactory, tmp_path: Path, figures: Figures) -> None:
    ensemble = zookeeper_server(WORDS).ensemble()
    give(ensemble, findings(ensemble)["zookeeper-open"].fix)
    (tmp_path / "cdcd").write_text("{user: cdcd, password: secret, hosts: ['*']}")
    (tmp_path / "cdcd").chmod(0o600)
    closed = ensemble.model_copy(update={"auth": ZooKeeperAuth(scheme="digest", credential="cdcd")})
    assert findings(closed, tmp_path) == {}
    node = f"{ensemble.chroot}{paths.definition('orders')}"  # everybody's, in a tree that is not
    client = KazooClient(",".join(ensemble.hosts), auth_data=[("digest", "cdcd:secret")])
    client.start()
    client.create(node, b"{}", acl=OPEN_ACL_UNSAFE)
    client.stop()
    client.close()
    provoked = findings(closed, tmp_path)["zookeeper-open"]
    assert f"everybody may change {node}:" in provoked.what
    give(ensemble, provoked.fix)
    assert findings(closed, tmp_path) == {}
    figures({"system": "zookeeper", "provoked and mended": ["zookeeper-open"]})


def test_what_it_does_not_say_and_what_it_cannot_hold(zookeeper_server: ZookeeperFactory, figures: Figures) -> None:
    server = zookeeper_server({"4lw.commands.whitelist": "srvr"})
    ensemble = server.ensemble()
    provoked = findings(ensemble)
    change: dict[str, Any] = dict(ZOO_CFG.findall(provoked["zookeeper-limit-unknown"].fix))
    assert "zookeeper-limit-unknown" not in findings(zookeeper_server(change).ensemble())
    session = Session(ensemble, Credentials(None), "preflight")
    session.start(10)
    by_tls = ensemble.model_copy(update={"encryption": "tls"})
    assert survey(session, by_tls).connection_limits == {}, "no remedy would make it answer"
    session.create(paths.definition("large"), b"x" * (600 << 10))
    assert "zookeeper-node-size" in findings(ensemble)
    session.set(paths.definition("large"), b"{}")
    assert "zookeeper-node-size" not in findings(ensemble)
    session.close()
    figures({"system": "zookeeper", "provoked and mended": ["zookeeper-limit-unknown", "zookeeper-node-size"]})

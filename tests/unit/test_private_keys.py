"""A private key that needs a passphrase is refused; nobody is asked for it."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper
from cdcd.errors import FindingError
from cdcd.fleet.client import ClientLog, make_client
from cdcd.mysql.connection import Endpoint, Tls, client_settings
from tests.certificates import Authority


def test_nobody_is_asked_for_a_passphrase(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = Authority(tmp_path).sign("u", "db")
    key = serialization.load_pem_private_key(made.key.read_bytes(), None)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    made.key.write_bytes(key.private_bytes(pem, form, serialization.BestAvailableEncryption(b"kAnArIe")))
    with pytest.raises(FindingError) as refused:
        client_settings(Endpoint("db", 3306, "u", "p", Tls(cert=str(made.cert), key=str(made.key))))
    assert refused.value.finding.code == "tls-files"
    tls = {"cert": made.cert, "key": made.key}
    ensemble = ZooKeeper.model_validate({"hosts": ["zk:2281"], "encryption": "tls", "tls": tls})
    with pytest.raises(FindingError) as refused:
        make_client(ensemble, Credentials(None), ClientLog("test"))
    assert refused.value.finding.code == "zookeeper-tls-files"
    assert capfd.readouterr() == ("", "")

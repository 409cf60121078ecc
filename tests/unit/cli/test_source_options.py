"""TLS where flags stand in place of a definition."""

from pathlib import Path
from typing import Any

import pytest

from cdcd.cli.failures import Failure
from cdcd.cli.source_options import endpoint

FILE = Path("/ca.pem")


def _endpoint(**options: Any) -> Any:
    given: dict[str, Any] = dict.fromkeys(("password_env", "tls_mode", "tls_ca", "tls_cert", "tls_key"))
    return endpoint(**given | {"host": "127.0.0.1", "port": 3306, "user": "cdcd"} | options)


def test_who_names_a_certificate_asks_for_tls() -> None:
    assert _endpoint().protection.mode == "disabled"
    assert _endpoint(host="mysql-a").protection.mode == "verify-identity"
    assert _endpoint(tls_ca=FILE).protection.mode == "verify-identity"
    assert _endpoint(tls_ca=FILE, tls_mode="verify-ca").protection.mode == "verify-ca"


@pytest.mark.parametrize("file", ["tls_ca", "tls_cert", "tls_key"])
def test_and_cannot_turn_it_off_in_one_breath(file: str) -> None:
    with pytest.raises(Failure, match="uses no certificates") as refused:
        _endpoint(tls_mode="disabled", **{file: FILE})
    assert refused.value.exit_code == 2

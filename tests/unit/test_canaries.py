"""The finder of leaked secrets finds them."""

import base64
import json
import urllib.parse

import pytest

from tests.canaries import Canary, leaks

CANARY = Canary("kAnArIeNvOgEl17")


@pytest.mark.parametrize(
    "form",
    [
        CANARY.text,
        repr(CANARY.text),
        json.dumps(CANARY.text),
        urllib.parse.quote(CANARY.text),
        CANARY.text.upper(),
        CANARY.text.encode().hex(),
        *(base64.b64encode(f"{'x' * before}{CANARY.text}".encode()).decode() for before in range(3)),
    ],
)
def test_every_form_is_found(form: str) -> None:
    assert leaks({"log": f"before {form} after".encode()}, {"password": CANARY})


def test_nothing_is_found_where_nothing_is() -> None:
    assert not leaks({"log": b"access denied (using password: YES)"}, {"password": CANARY})

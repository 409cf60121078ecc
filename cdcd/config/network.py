"""Hosts and ports in definitions, settings and credential files."""

import ipaddress
import re
from typing import NamedTuple

from cdcd.config.problems import shown

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")
_LONGEST_HOST = 253  # RFC 1035


class Endpoint(NamedTuple):
    """A server's address; `host` without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str, default_port: int | None = None) -> Endpoint:
    """`host`, `host:port`, `[::1]`, `[::1]:port`, or a bare IPv6 address. ValueError says what is wrong."""
    host, port = split_endpoint(text)
    if port is None and default_port is None:
        raise ValueError(f"`{shown(text)}` needs a port: host:port")
    return Endpoint(check_host(host), _port(port) if port is not None else default_port or 0)


def split_endpoint(text: str) -> tuple[str, str | None]:
    """Host without brackets and port, if there is one; neither is checked."""
    if "@" in text:  # of a URL with user and password, which no message may repeat
        raise ValueError("must be a host or host:port alone; user and password stand in the credential")
    if text.startswith("["):
        host, closing, rest = text[1:].partition("]")
        if not closing or ":" not in host or (rest and not rest.startswith(":")):
            raise ValueError(f"`{shown(text)}`: an IPv6 address with a port is written [address]:port")
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def check_host(host: str) -> str:
    """The host itself if it is a host name or an IP address, else ValueError."""
    if "@" in host:
        raise ValueError("must be a host alone; user and password stand in the credential")
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            wrong = "is not an IPv6 address" if host.count(":") > 1 else "is host and port; the port stands in `port`"
            raise ValueError(f"`{shown(host)}` {wrong}") from None
    elif len(host) > _LONGEST_HOST or not _HOST.fullmatch(host):
        raise ValueError(f"`{shown(host)}` is not a host name or IP address")
    return host


def is_loopback(host: str) -> bool:
    """Whether traffic to `host` stays on this machine, as far as its name alone tells (nothing is resolved)."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or not 0 < int(text) <= 65535:
        raise ValueError(f"port `{shown(text[:20])}` must be a number from 1 to 65535")
    return int(text)

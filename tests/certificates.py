"""Certificates for servers of tests: authorities of our own and what they sign."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Certificate:
    """Files in PEM that everybody may read, the servers' uid too: the authority, the certificate that it signed, its key."""

    ca: Path
    cert: Path
    key: Path

    @property
    def files(self) -> tuple[str, str, str]:
        return str(self.ca), str(self.cert), str(self.key)


class Authority:
    """Its own certificate is `ca.pem` in `folder`, where what it signs comes as well; all are valid from yesterday."""

    def __init__(self, folder: Path, *, lasts: dt.timedelta = DAY) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("test authority")
        builder = _builder(self._name, self._name, self._key.public_key(), lasts)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self.ca = _written(folder / "ca.pem", self._signed(builder.add_extension(constraints, critical=True)))

    def sign(self, subject: str, *hosts: str, lasts: dt.timedelta = DAY) -> Certificate:
        """A certificate in the name of `subject`, valid for `hosts` (names or addresses) from yesterday until now + `lasts`."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = _builder(self._name, _name(subject), key.public_key(), lasts).add_extension(names, critical=False)
        return Certificate(
            self.ca,
            _written(self._folder / f"{subject}.pem", self._signed(builder)),
            _written(self._folder / f"{subject}.key", _private(key)),
        )

    def _signed(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Papers:
    """What servers on the loopback address, and their clients, may show."""

    def __init__(self, folder: Path) -> None:
        """`folder`: one that the servers' uid may read."""
        self.authority = Authority(folder)
        self.own = self.authority.sign("own", "127.0.0.1")
        self.other_host = self.authority.sign("other_host", "db.example.net")
        self.expired = self.authority.sign("expired", "127.0.0.1", lasts=-HOUR)
        (folder / "foreign").mkdir()
        self.foreign = Authority(folder / "foreign").sign("foreign", "127.0.0.1")
        """Right in all but the authority."""


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, lasts: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    return builder.not_valid_before(now - DAY).not_valid_after(now + lasts)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o644)
    return path

"""A certificate authority for loopback, and server certificates of any validity by it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Soro test authority")])


@dataclass(frozen=True, slots=True)
class TestAuthority:
    """An authority with its private key."""

    __test__ = False
    key: ec.EllipticCurvePrivateKey
    pem: str

    @classmethod
    def make(cls, *, begins: datetime, days: int = 3650) -> TestAuthority:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(NAME, key, begins, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate.public_bytes(Encoding.PEM).decode())

    def server(self, folder: Path, *, begins: datetime, days: int, host: str = "127.0.0.1") -> tuple[Path, Path]:
        """Leave the certificate and key of the server `host`, an address or a name, in `folder` and return where."""
        key = ec.generate_private_key(ec.SECP256R1())
        named = x509.SubjectAlternativeName([_host_name(host)])
        certificate = (
            _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), key, begins, days)
            .add_extension(named, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        paths = folder / "server.pem", folder / "server.key"
        paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return paths


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, begins: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
    )

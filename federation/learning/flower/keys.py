"""Keys as Flower wants them: a node's P-384 key in OpenSSH form, and the SuperLink's own TLS authority.

The node's identity is made elsewhere; here it is only rewritten. The TLS authority serves one SuperLink: schools get
its certificate from the centre and trust nothing else for Flower.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from federation.errors import TrustError

_AUTHORITY_YEARS = 10
_SERVER_DAYS = 825


class FlowerKeyRefused(TrustError):
    """A node key is not an unencrypted EC key on P-384 in PEM. Fields: reason."""

    code = "flower_key_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The SuperLink's TLS files; `authority` is what schools need, the other two stay at the centre."""

    authority: Path
    certificate: Path
    key: Path


def private_key_openssh(private_pem: bytes) -> bytes:
    """Return the same private key in OpenSSH form, the only one that a SuperNode loads.

    Raises:
        FlowerKeyRefused: it is not an unencrypted P-384 key in PEM.
    """
    try:
        key = load_pem_private_key(private_pem, password=None)
    except (ValueError, TypeError) as error:
        raise FlowerKeyRefused(reason=str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise FlowerKeyRefused(reason="not_p384")
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def public_key_openssh(public_pem: bytes) -> bytes:
    """Return the same public key in OpenSSH form, as `flwr supernode register` reads it.

    Raises:
        FlowerKeyRefused: it is not a P-384 public key in PEM.
    """
    return _public_key(public_pem).public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def public_key_canonical(public_pem: bytes) -> bytes:
    """Return the PEM form in which a SuperLink stores the key, whatever line ends it came with.

    Raises:
        FlowerKeyRefused: it is not a P-384 public key in PEM.
    """
    return _public_key(public_pem).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _public_key(public_pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(public_pem)
    except ValueError as error:
        raise FlowerKeyRefused(reason=str(error)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise FlowerKeyRefused(reason="not_p384")
    return key


def private_write(path: Path, content: bytes) -> None:
    """Leave `content` at `path`, readable by its owner alone from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def tls_create(*, folder: Path, hosts: Iterable[str], now: datetime) -> TlsFiles:
    """Leave an authority's certificate and a server's certificate with its key in `folder`.

    The server's certificate names localhost, 127.0.0.1 and `hosts` (names or IP addresses), for 825 days from `now`.
    The authority's private key is dropped, so that nobody can ever sign a second server with it: to renew, make all
    three anew and let schools fetch the authority with their next check-in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority_key, server_key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    authority = _authority_certificate(authority_key, now)
    server = _server_certificate(server_key, authority, authority_key, ["localhost", "127.0.0.1", *hosts], now)
    files = TlsFiles(authority=folder / "ca.pem", certificate=folder / "server.pem", key=folder / "server.key")
    private_write(files.key, server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.certificate.write_bytes(server.public_bytes(Encoding.PEM))
    files.authority.write_bytes(authority.public_bytes(Encoding.PEM))
    return files


def _authority_certificate(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Soro SuperLink authority")])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        _certificate_builder(name, name, key, now, timedelta(days=365 * _AUTHORITY_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )


def _server_certificate(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    hosts: list[str],
    now: datetime,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Soro SuperLink")])
    names = x509.SubjectAlternativeName([_general_name(host) for host in dict.fromkeys(hosts)])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _certificate_builder(name, authority.subject, key, now, timedelta(days=_SERVER_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA384())
    )


def _certificate_builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, span: timedelta
) -> x509.CertificateBuilder:
    # A school's clock may run behind the centre's; a certificate that starts a day early is valid there at once.
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + span)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def tls_is_current(*, folder: Path, hosts: Iterable[str], now: datetime) -> bool:
    """Return whether `folder` holds all three TLS files, for at least these hosts and 30 more days."""
    if not all((folder / name).is_file() for name in ("ca.pem", "server.pem", "server.key")):
        return False
    certificate = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    lasts = certificate.not_valid_after_utc > now + timedelta(days=30)
    return lasts and all(_general_name(host) in names for host in hosts)

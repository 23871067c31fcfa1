"""The PC's own authority, and the server's certificates that it issues. Knows no clock, disk or network.

Three keys, EC P-256: the root's, which telephones trust, signs once and is gone; the signer's, which stays on this PC,
issues; the server's speaks with telephones. Root and signer are both constrained to this PC's names and addresses. The
signer is there because many programs, Android's own among them, ask no constraints of what they were told to trust
(RFC 5280, 6.1: an anchor's constraints need not be processed), but all ask them of what stands below it.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from node.https.names import PcNames
from node.https.validity import Validity

# With no name in the list of those that are permitted, every name would be. Source: RFC 2606, RFC 5280 4.2.1.10.
_NOBODYS_NAME = "none.invalid"
# A common name has 64 characters at most. Source: RFC 5280, appendix A, ub-common-name.
_MOST_TITLE = 40


@dataclass(frozen=True, slots=True)
class Authority:
    """What this PC has to issue certificates with, and what telephones trust."""

    key: ec.EllipticCurvePrivateKey
    signer: x509.Certificate
    root: x509.Certificate

    @property
    def names(self) -> PcNames:
        """For whom it can vouch."""
        permitted = self.signer.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
        return PcNames(
            dns=tuple(
                each.value for each in permitted if isinstance(each, x509.DNSName) and each.value != _NOBODYS_NAME
            ),
            addresses=tuple(
                str(each.value.network_address)
                for each in permitted
                if isinstance(each, x509.IPAddress)
                and isinstance(each.value, ipaddress.IPv4Network | ipaddress.IPv6Network)
            ),
        )

    @property
    def validity(self) -> Validity:
        """From when to when telephones trust it."""
        return validity_of(self.root)

    @property
    def title(self) -> str:
        """Under what name it stands in a telephone's list."""
        return str(self.root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the root, as telephones show it."""
        return self.root.fingerprint(hashes.SHA256()).hex(":").upper()


def authority_make(*, names: PcNames, validity: Validity) -> Authority:
    """Return a new authority for `names` alone; nobody has the root's key from here on."""
    title = f"Soro {(names.dns or names.addresses)[0][:_MOST_TITLE]} {secrets.token_hex(2)}"
    root_key, signer_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name, signer_name = _name(title), _name(f"{title} signer")
    root = _authority_builder(root_name, root_name, root_key, root_key, names, validity, path_length=1)
    signer = _authority_builder(signer_name, root_name, signer_key, root_key, names, validity, path_length=0)
    # Nobody who has this key can vouch for programs, letters or people with it.
    signer = signer.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return Authority(
        key=signer_key, signer=signer.sign(root_key, hashes.SHA256()), root=root.sign(root_key, hashes.SHA256())
    )


def authority_pem(authority: Authority) -> bytes:
    """Return the signer's key, its certificate and the root's, in this order."""
    return _key_pem(authority.key) + b"".join(
        each.public_bytes(Encoding.PEM) for each in (authority.signer, authority.root)
    )


def authority_parse(content: bytes) -> Authority:
    """Return the authority that `authority_pem` wrote.

    Raises:
        ValueError: it is something else.
    """
    key = load_pem_private_key(content, password=None)
    signer, root = x509.load_pem_x509_certificates(content)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != signer.public_key():
        raise ValueError("the key is not the signer's")
    return Authority(key, signer, root)


def server_issue(*, authority: Authority, names: PcNames, validity: Validity) -> bytes:
    """Return the key, the certificate for `names` and the signer's certificate, as PEM that `ssl` loads."""
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names.dns]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in names.addresses]
    certificate = (
        _builder(_name(names.addresses[0]), authority.signer.subject, key, validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_issued_by(authority.key), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _key_pem(key) + certificate.public_bytes(Encoding.PEM) + authority.signer.public_bytes(Encoding.PEM)


def server_parse(content: bytes) -> tuple[x509.Certificate, x509.Certificate]:
    """Return the server's certificate and its signer's.

    Raises:
        ValueError: `content` is not what `server_issue` made.
    """
    server, signer = x509.load_pem_x509_certificates(content)
    key = load_pem_private_key(content, password=None)
    if key.public_key() != server.public_key():
        raise ValueError("the key is not the server's")
    return server, signer


def validity_of(certificate: x509.Certificate) -> Validity:
    """Return from when to when a certificate holds."""
    return Validity(begins_at=certificate.not_valid_before_utc, ends_at=certificate.not_valid_after_utc)


def _authority_builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    names: PcNames,
    validity: Validity,
    *,
    path_length: int,
) -> x509.CertificateBuilder:
    permitted: list[x509.GeneralName] = [x509.DNSName(name) for name in names.dns or (_NOBODYS_NAME,)]
    permitted += [x509.IPAddress(ipaddress.ip_network(address)) for address in names.addresses]
    return (
        _builder(subject, issuer, key, validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .add_extension(_issued_by(issuer_key), critical=False)
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, validity: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.begins_at)
        .not_valid_after(validity.ends_at)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _issued_by(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(title: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Soro"), x509.NameAttribute(NameOID.COMMON_NAME, title)]
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

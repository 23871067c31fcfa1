"""Where schools reach the centre's web server, and the authority that vouches for it."""

from __future__ import annotations

from cryptography import x509
from django.conf import settings

from central.schools.errors import AddressMissing, AuthorityUnreadable
from federation.wire.canonical import sha256_hex


def centre_address() -> str:
    """Return the address that is printed on sheets.

    Raises:
        AddressMissing: the settings name none.
    """
    address = centre_address_if_any()
    if not address:
        raise AddressMissing
    return address


def centre_address_if_any() -> str:
    """Return the address under which schools reach the centre; empty where the settings name none."""
    return str(settings.PUBLIC_ADDRESS).rstrip("/")


def authority_certificates() -> str:
    """Return the PEM certificates that schools pin; empty where any public authority will do.

    Raises:
        AuthorityUnreadable: the settings name a file that holds none.
    """
    path = settings.WEB_AUTHORITY
    if path is None:
        return ""
    try:
        content = path.read_text(encoding="ascii")
        x509.load_pem_x509_certificates(content.encode())
    except (OSError, ValueError) as error:
        raise AuthorityUnreadable(path=str(path)) from error
    return str(content)


def authority_fingerprint() -> str:
    """Return the SHA-256 of what schools pin, as `sha256sum` of the file gives it; empty where they pin nothing.

    Raises:
        AuthorityUnreadable: the settings name a file that holds none.
    """
    certificates = authority_certificates()
    return sha256_hex(certificates.encode()) if certificates else ""

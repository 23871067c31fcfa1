"""TLS with the centre on a PC whose clock may say anything: the authority is pinned, and signed time alone counts.

The rules, in order:
1. Only the pinned authority vouches for the centre, and only under its own name; no clock loosens that.
2. The PC's clock is not asked. A certificate, the server's or the authority's, that ended before the floor of time
   has ended for certain, and is refused.
3. Without a pin, the system's authorities and the PC's clock decide, as in any browser.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from node.sync.errors import AuthorityOutOfDate

# Python has no name for it. Source: OpenSSL, include/openssl/x509_vfy.h, X509_V_FLAG_NO_CHECK_TIME.
_NO_CHECK_TIME = 0x200000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """The authority that a sheet has vouched for, and the moment before which it cannot be now."""

    certificates: str
    """PEM."""
    floor: datetime


def pinned_context(pin: Pin) -> ssl.SSLContext:
    """Return a context that believes `pin` alone.

    Raises:
        AuthorityOutOfDate: every certificate of the pin ended before the floor.
    """
    ends = [each.not_valid_after_utc for each in x509.load_pem_x509_certificates(pin.certificates.encode())]
    if max(ends) < pin.floor:
        raise AuthorityOutOfDate(ended_at=max(ends).isoformat())
    context = ssl.create_default_context(cadata=pin.certificates)
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    context.sslsocket_class = _judging_socket(pin.floor)
    return context


def certificate_problem(error: BaseException) -> str:
    """Return why a certificate was refused, if that is what `error` comes from; else nothing."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message or str(cause)
        cause = cause.__cause__ or cause.__context__
    return ""


def _judging_socket(floor: datetime) -> type[ssl.SSLSocket]:
    class JudgingSocket(ssl.SSLSocket):
        """Ends the handshake, before anything is said, when the server's certificate has ended for certain."""

        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            content = self.getpeercert(binary_form=True)
            if content is None or x509.load_der_x509_certificate(content).not_valid_after_utc < floor:
                refusal = ssl.SSLCertVerificationError(f"certificate has expired before {floor:%Y-%m-%d}")
                refusal.verify_message = str(refusal)
                raise refusal

    return JudgingSocket

"""What a node is told of the centre's SuperLink."""

from __future__ import annotations

from django.conf import settings

from central.disk import centre_disk
from federation.wire.enrolment import Fleet


def fleet_of_centre() -> Fleet | None:
    """Return the SuperLink's address and certificate, or None where this centre runs none."""
    authority = centre_disk().superlink / "tls" / "ca.pem"
    if not settings.FLEET_ADDRESS or not authority.is_file():
        return None
    return Fleet(address=settings.FLEET_ADDRESS, ca_certificate=authority.read_text())

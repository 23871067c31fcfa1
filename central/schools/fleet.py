"""What a node is told of the SuperLink of its region."""

from __future__ import annotations

from central.disk import centre_disk
from central.superlinks import superlink_of
from federation.wire.enrolment import Fleet


def fleet_of_region(region: str) -> Fleet | None:
    """Return the address and certificate of the SuperLink for the region's schools, or None where there is none."""
    site = superlink_of(region)
    authority = site.root(centre_disk()) / "tls" / "ca.pem"
    if not site.address or not authority.is_file():
        return None
    return Fleet(address=site.address, ca_certificate=authority.read_text())

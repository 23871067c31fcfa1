"""The sheets as this centre prints them: its address, its root of trust, its authority."""

from __future__ import annotations

from collections.abc import Sequence

from central.schools.authority import authority_fingerprint, centre_address
from central.schools.invitations import DrawnCode, Render
from central.trust_root import root_fingerprint


def sheets_of_centre() -> Render:
    """Return what draws sheets for this centre.

    Raises:
        AddressMissing, AuthorityUnreadable, RepositoryMissing: the centre cannot be named on a sheet yet.
    """
    # The drawing libraries cost every other process 30 MB that it never uses.
    from central.schools.sheets import CentrePrint, sheets_draw  # noqa: PLC0415

    centre = CentrePrint(
        address=centre_address(), root_sha256=root_fingerprint(), authority_sha256=authority_fingerprint()
    )

    def draw(drawn: Sequence[DrawnCode]) -> bytes:
        return sheets_draw(drawn=drawn, centre=centre)

    return draw

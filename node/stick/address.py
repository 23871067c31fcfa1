"""The rule by which a PC that enrolled by stick learns where a link finds the centre: pure.

1. Only a letter that the director has signed for this PC's key is heard; whoever calls has verified it.
2. What the printed sheet said stands: a letter adds the authority to pin where the sheet named none, and changes
   nothing else. Paper is worth more than a key that lies on a server.
3. What a letter said, a letter that was written later replaces: a centre that moves is found again.
"""

from __future__ import annotations

from dataclasses import replace

from federation.wire.courier import CentreLetter
from federation.wire.sheet import is_address
from node.sync.enrol import Enrolment


def address_hear(enrolment: Enrolment, letter: CentreLetter) -> Enrolment:
    """Return the enrolment with the address and the authority that `letter` names, as far as it may name them."""
    if not is_address(letter.address) or not _may_name(enrolment, letter):
        return enrolment
    return replace(
        enrolment, central_url=letter.address, authority=letter.authority, address_written_at=letter.written_at
    )


def _may_name(enrolment: Enrolment, letter: CentreLetter) -> bool:
    if enrolment.address_written_at is not None:
        return letter.written_at > enrolment.address_written_at
    is_unpinned = enrolment.central_url == letter.address and not enrolment.authority
    return not enrolment.central_url or is_unpinned

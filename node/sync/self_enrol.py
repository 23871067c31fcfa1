"""Enrol by what is kept, as soon as there is a link: nobody need be at the PC in the minutes in which it is up.

Rules, in order:
1. The same checks as with the sheet in hand: authority first, then the code, then the root (`node.sync.enrol`).
2. A request by stick may be under way at the same time. It names the same key and code: the centre gives one answer.
3. A link that is away is looked for like any; what was refused is tried ever more seldom, and told on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from federation.errors import TransportError
from federation.trust.errors import WrongRoot
from federation.trust.folder_transport import FolderTransport
from federation.wire.sheet import Sheet
from node.sync.claim import claim_of, claim_read, claim_write, sheet_of
from node.sync.enrol import Enrolled, sheet_enrol
from node.sync.errors import AuthorityMismatch, CentreRefused
from node.sync.journal import Journal
from node.sync.locks import contact_alone
from node.sync.models import SyncLog
from node.sync.transport import CountingTransport

STEP = "enrolment"
_REFUSALS = (CentreRefused.code, AuthorityMismatch.code, WrongRoot.code)
"""What another sheet would mend; a clock or a page that stands before the internet is none of these."""


def sheet_enrol_or_keep(*, root: Path, sheet: Sheet) -> Enrolled | None:
    """Return this PC's enrolment, or None where no centre could be reached: then the sheet is kept, and tried again.

    Raises:
        FederationError: as `sheet_enrol`, but for TransportError; nothing is kept.
    """
    try:
        return sheet_enrol(root=root, sheet=sheet)
    except TransportError:
        claim_write(root, claim_of(sheet))
        return None


def claim_enrol(*, root: Path, clock: Callable[[], datetime]) -> Enrolled:
    """Return this PC's enrolment by the claim that is kept here and names an address; the journal tells how it went.

    Raises:
        NotEnrolled: no claim is kept.
        FederationError: as `sheet_enrol`; the claim stays.
    """
    claim = claim_read(root)
    # The row says when and how; `sheet_enrol` opens a client of its own, whose few bytes nobody counts.
    journal = Journal(counter=CountingTransport(FolderTransport()), clock=clock)
    journal.prune()
    with contact_alone(root), journal.step(STEP):
        return sheet_enrol(root=root, sheet=sheet_of(claim))


def is_claim_refused() -> bool:
    """Tell whether the claim was refused when it was tried last, so that a person must bring another sheet."""
    newest = SyncLog.objects.filter(step=STEP).order_by("-started_at", "-pk").first()
    return newest is not None and newest.error_code in _REFUSALS

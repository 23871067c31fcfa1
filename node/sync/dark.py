"""What a school's PC can do while the centre is away: take the release it was assigned from the PCs beside it.

TUF makes that safe: metadata of a neighbour is believed as far as its signatures, versions and dates go, like the
centre's, and the assignment is the director's own word, kept as it was signed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from federation.errors import FederationError
from federation.trust.errors import LinkLost
from federation.trust.peers import peer_client
from federation.trust.release_bytes import index_digest
from federation.trust.tuf_client import TrustedReleases
from federation.wire.releases import Assignment, InstallState
from node.installed.services import is_settled, release_install, superseded_remove
from node.rounds.services import updates_find_shipped
from node.sync.assignment import assignment_verify
from node.sync.change_over import is_time_to_change_over
from node.sync.enrol import enrolment_read
from node.sync.models import SeenAssignment
from node.sync.neighbours import neighbours_read, peers_at_hand

_log = logging.getLogger(__name__)


class NoSource:
    """The centre while it is away."""

    def read_range(self, sha256: str, start: int, length: int) -> Iterator[bytes]:
        """Give nothing.

        Raises:
            LinkLost: always.
        """
        del start, length
        raise LinkLost(sha256=sha256, problem="no centre")


def neighbours_install(*, root: Path, clock: Callable[[], datetime]) -> InstallState | None:
    """Take the assigned release as far as the neighbours can; None where there is nothing to take, or nobody.

    Raises:
        FederationError: as `release_install`; a neighbour alone is never the cause.
    """
    seen = SeenAssignment.objects.first()
    doors = neighbours_read(root)
    if (
        seen is None
        or not seen.release
        or not doors
        or is_settled(root=root, digest=seen.release, sequence=seen.sequence)
    ):
        return None
    for door in doors:
        try:
            return _install_beside(root, door, bytes(seen.envelope), seen.sequence, clock)
        except FederationError as error:
            _log.info("neighbour %s: %s", door, error)
    return None


def _install_beside(
    root: Path, door: str, envelope: bytes, sequence: int, clock: Callable[[], datetime]
) -> InstallState | None:
    with peer_client() as client:
        trusted = TrustedReleases(root=root / "tuf", base_url=door, client=client)
        trusted.refresh(now=clock())
        assignment = _assignment(root, trusted, envelope, sequence)
        if assignment.release is None:
            return None
        index = trusted.index_fetch(assignment.release)
        state = release_install(
            root=root,
            index=index,
            base_index=trusted.index_fetch(index.base) if index.base else None,
            variant=assignment.variant,
            sequence=assignment.sequence,
            source=NoSource(),
            peers=lambda: peers_at_hand(root, client),
            clock=clock,
            may_change_over=lambda: is_time_to_change_over(assignment, root=root, clock=clock),
        )
        updates_find_shipped(root=root)
        superseded_remove(root=root, assigned=index_digest(index), now=clock())
        return state


def _assignment(root: Path, trusted: TrustedReleases, envelope: bytes, sequence: int) -> Assignment:
    """Return the kept assignment, if it is still one that may be followed."""
    return assignment_verify(
        envelope,
        director_key=trusted.director_key,
        node_id=enrolment_read(root).node_id,
        seen_sequence=sequence,
        trusted=trusted.trusted.releases,
    )

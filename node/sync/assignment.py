"""The rule by which a node follows the director's word (protocol §3): pure, and refuses before anything is fetched."""

from __future__ import annotations

from collections.abc import Collection

from federation.trust.envelopes import ASSIGNMENT, envelope_open
from federation.trust.errors import ReleaseNotTrusted
from federation.trust.keys import VerifyingKey
from federation.wire.canonical import parse
from federation.wire.releases import Assignment
from node.sync.errors import AssignmentOfOtherNode, AssignmentRolledBack


def assignment_verify(
    envelope: bytes, *, director_key: VerifyingKey, node_id: str, seen_sequence: int, trusted: Collection[str]
) -> Assignment:
    """Return the assignment that the director signed for this node and that is not older than one seen before.

    Raises:
        MalformedDocument, WrongKind, BadSignature: it is not an assignment of the director's.
        AssignmentOfOtherNode: it is meant for another node.
        AssignmentRolledBack: a later one has been seen.
        ReleaseNotTrusted: it names a release that TUF's targets do not hold.
    """
    assignment = parse(Assignment, envelope_open(envelope, kind=ASSIGNMENT, key=director_key))
    if assignment.node_id != node_id:
        raise AssignmentOfOtherNode(node_id=node_id, found=assignment.node_id)
    if assignment.sequence < seen_sequence:
        raise AssignmentRolledBack(seen=seen_sequence, found=assignment.sequence)
    if assignment.release is not None and assignment.release not in trusted:
        raise ReleaseNotTrusted(release=assignment.release)
    return assignment

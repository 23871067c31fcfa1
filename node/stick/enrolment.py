"""Enrol without a link: a request on one stick, the answer on a later one, and the printed fingerprint over both.

Rules, in order: the stick's root of trust must be the one whose fingerprint was printed with the code, or nothing is
kept; the request is sealed to the centre; the answer counts only when the director signed it for this PC's key;
`node.json` is written last, and then the request is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from federation.trust import stick_layout as layout
from federation.trust.errors import WrongRoot
from federation.trust.keys import NodeKey, key_id
from federation.trust.stick_disk import StickDisk
from federation.trust.stick_letters import letter_open
from federation.trust.stick_returns import SentFile
from federation.trust.tuf_client import TrustedReleases, root_accept
from federation.trust.tuf_publisher import root_fingerprint
from federation.wire.canonical import parse
from federation.wire.courier import CentreLetter
from node.sync.claim import Claim, claim_forget, claim_read, claim_write
from node.sync.enrol import Enrolment, enrolment_keep, node_key, node_key_keep, request_envelope
from node.sync.errors import AlreadyEnrolled

MAX_ROOTS = 64


def claim_keep(*, root: Path, disk: StickDisk, claim: Claim) -> None:
    """Remember the claim until it is answered, and trust the stick's root, whose fingerprint it names.

    Raises:
        AlreadyEnrolled: the PC belongs to a school.
        WrongRoot: no root on the stick has the fingerprint; nothing is kept.
        StickGone: the stick was pulled out.
    """
    if (root / "node.json").exists():
        raise AlreadyEnrolled(school=parse(Enrolment, (root / "node.json").read_bytes()).school)
    metadata = _root_found(disk, claim.root_sha256)
    root_accept(root=root / "tuf", metadata=metadata, fingerprint=claim.root_sha256)
    claim_write(root, claim)


def own_key(root: Path) -> NodeKey:
    """Return the key by which sticks name this PC; before it has a school, it is made at the first call.

    Raises:
        KeyUnreadable: the PC has a school, and its key is gone or damaged.
    """
    return node_key(root) if (root / "node.json").exists() else node_key_keep(root)


def request_file(*, root: Path, claim: Claim) -> SentFile:
    """Return the signed request to enrol, as it would go by link."""
    key = own_key(root)
    content = request_envelope(root=root, code=claim.code, root_sha256=claim.root_sha256, key=key)
    return SentFile(kind=layout.ENROLMENT, content=content)


def answer_take(
    *, root: Path, envelope: bytes, key: NodeKey, trusted: Callable[[], TrustedReleases], now: datetime
) -> CentreLetter:
    """Return the centre's letter to this PC, which is now enrolled if the letter says so.

    `trusted` makes a client of the stick's metadata; it starts from the root that `claim_keep` trusted.

    Raises:
        NotEnrolled: this PC has asked for nothing.
        TrustError: the stick's metadata or the letter is not the centre's; the PC is not enrolled.
    """
    claim = claim_read(root)
    releases = trusted()
    releases.refresh(now=now)
    letter = letter_open(envelope, director_key=releases.director_key, reader=key_id(key))
    if letter.enrolment is not None:
        enrolment = Enrolment(
            node_id=letter.enrolment.node_id,
            school=letter.enrolment.school,
            central_url=claim.central_url,
            fleet=letter.enrolment.fleet,
            authority="",
        )
        enrolment_keep(root, enrolment)
        claim_forget(root)
    return letter


def _root_found(disk: StickDisk, fingerprint: str) -> bytes:
    names = [name for name in disk.names(layout.METADATA) if name.endswith(".root.json")][:MAX_ROOTS]
    found = ""
    for name in names:
        content = disk.read(f"{layout.METADATA}/{name}", limit_bytes=layout.MAX_METADATA_BYTES) or b""
        found = root_fingerprint(content)
        if found == fingerprint.strip().lower():
            return content
    raise WrongRoot(expected=fingerprint.strip().lower(), found=found)

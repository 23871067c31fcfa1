"""Make this PC a node: one key, one claim code, the printed fingerprints; kept in `node.json`.

Rules, in order:
1. A node enrols once; enrolling again, in place of another PC or with a new identity, must be asked for.
2. The claim code is said only to a server whose authority is the printed one, where the sheet prints one.
3. The centre's root of trust must be the one whose fingerprint was printed with the code.
4. `node.json` is written after all that may be refused, so that a failed enrolment leaves a PC that is as it was.
5. A PC that enrols again numbers its parcels anew, for another PC may have used the numbers.
6. Whatever claim was kept here until a link comes is forgotten then.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import httpx

from federation.trust.durable import durable_rename, durable_write
from federation.trust.envelopes import ENROLMENT, envelope_seal
from federation.trust.keys import NodeKey, node_key_create, node_key_load, public_pem
from federation.trust.tuf_client import root_accept, time_floor
from federation.wire.canonical import canonical_bytes, parse, sha256_hex
from federation.wire.enrolment import Authority, EnrolmentAnswer, EnrolmentRequest, Fleet
from federation.wire.sheet import Sheet
from node.installed.hardware import hardware_measure
from node.outbox.services import epoch_renew
from node.sync.claim import claim_forget
from node.sync.client import CentreClient, body_read
from node.sync.errors import AlreadyEnrolled, AuthorityMismatch, CentreUnreachable, NotEnrolled
from node.sync.models import SeenAssignment
from node.sync.tls import Pin
from node.sync.transport import TIMEOUT, http_client


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """Who this node is, where its centre is, and by which authority it knows it."""

    node_id: str
    school: str
    central_url: str
    fleet: Fleet | None
    authority: str
    """PEM; empty where the system's own authorities vouch for the centre."""
    address_written_at: datetime | None = None
    """When the centre wrote the letter that named address and authority; None where the sheet did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """A new enrolment, and whether a person at the ministry has yet to approve it."""

    enrolment: Enrolment
    waits_for_approval: bool


def sheet_enrol(*, root: Path, sheet: Sheet, fleet_address: str | None = None, again: bool = False) -> Enrolled:
    """Return this PC's enrolment by what its sheet says, kept on the disk; the claim code is used up.

    `fleet_address` (host:port) is where this school reaches the SuperLink, when not where the centre says.

    Raises:
        AlreadyEnrolled: it belongs to a school, and was not asked to enrol `again`.
        AuthorityMismatch, CentreNotTrusted, WrongRoot: the centre is not the one that printed the sheet.
        CentreRefused: the code is wrong, used, or out of date; or as CentreClient.
    """
    if (root / "node.json").exists() and not again:
        raise AlreadyEnrolled(school=enrolment_read(root).school)
    root.mkdir(parents=True, exist_ok=True)
    authority = _authority_fetch(sheet) if sheet.authority_sha256 else ""
    http, _counter = http_client(pin=Pin(certificates=authority, floor=time_floor(root / "tuf")) if authority else None)
    with http:
        client = CentreClient(http=http, base_url=sheet.address)
        return _enrol(root, sheet, client, authority, fleet_address)


def _authority_fetch(sheet: Sheet) -> str:
    url = f"{sheet.address.rstrip('/')}/api/v1/authority"
    try:
        # Whoever answers can only say something whose SHA-256 stands on the sheet, and nothing is told to them.
        with httpx.Client(verify=False, timeout=TIMEOUT) as http, http.stream("GET", url) as answer:  # nosec B501 # noqa: S501
            content = body_read(answer, Authority.__name__)
    except httpx.HTTPError as error:
        raise CentreUnreachable(url=sheet.address, problem=type(error).__name__) from error
    certificates = parse(Authority, content).certificates
    found = sha256_hex(certificates.encode())
    if found != sheet.authority_sha256:
        raise AuthorityMismatch(expected=sheet.authority_sha256, found=found)
    return certificates


def _enrol(root: Path, sheet: Sheet, client: CentreClient, authority: str, fleet_address: str | None) -> Enrolled:
    is_again = (root / "node.json").exists()
    # A new identity gets a new key: the old one may lie on another PC too.
    path = root / "keys" / "node.enrolling.pem" if is_again else key_path(root)
    key = _key_keep(path)
    answer = client.enrol(request_envelope(root=root, code=sheet.code, root_sha256=sheet.root_sha256, key=key))
    root_accept(root=root / "tuf", metadata=answer.root_metadata, fingerprint=sheet.root_sha256)
    fleet = replace(answer.fleet, address=fleet_address) if answer.fleet and fleet_address else answer.fleet
    enrolment = Enrolment(
        node_id=answer.node_id, school=answer.school, central_url=client.base_url, fleet=fleet, authority=authority
    )
    if is_again:
        _identity_leave(root, answer)
    enrolment_keep(root, enrolment)
    if is_again:
        # Last, so that after a cut the same command with the same sheet finds the same key and finishes.
        durable_rename(path, key_path(root))
    claim_forget(root)
    return Enrolled(enrolment=enrolment, waits_for_approval=answer.status != "active")


def request_envelope(*, root: Path, code: str, root_sha256: str, key: NodeKey) -> bytes:
    """Return the request to enrol by what the sheet says, signed by the key that it names; by link and by stick."""
    request = EnrolmentRequest(
        code=code.strip().upper(),
        root_sha256=root_sha256.strip().lower(),
        public_key=public_pem(key),
        hostname=socket.gethostname(),
        hardware=hardware_measure(root),
    )
    return envelope_seal(payload=canonical_bytes(request), kind=ENROLMENT, key=key)


def _identity_leave(root: Path, answer: EnrolmentAnswer) -> None:
    """Forget what was numbered under the identity that this PC had before."""
    epoch_renew()
    if enrolment_read(root).node_id != answer.node_id:
        SeenAssignment.objects.all().delete()


def enrolment_read(root: Path) -> Enrolment:
    """Return who this node is.

    Raises:
        NotEnrolled: nobody yet.
        MalformedDocument: the file was damaged.
    """
    try:
        return parse(Enrolment, (root / "node.json").read_bytes())
    except FileNotFoundError as error:
        raise NotEnrolled(root=str(root)) from error


def enrolment_keep(root: Path, enrolment: Enrolment) -> None:
    """Write down who this node is: after a power cut the file says the old or the new."""
    durable_write(root / "node.json", canonical_bytes(enrolment), mode=0o600)


def node_key(root: Path) -> NodeKey:
    """Return the node's key.

    Raises:
        KeyUnreadable: it is gone or damaged.
    """
    return node_key_load(key_path(root))


def node_key_keep(root: Path) -> NodeKey:
    """Return the node's key, made at the first call: one try to enrol and the next use the same."""
    return _key_keep(key_path(root))


def key_path(root: Path) -> Path:
    """Return where the node's key lies."""
    return root / "keys" / "node.pem"


def _key_keep(path: Path) -> NodeKey:
    """Return the key at `path`, made at the first call: one try to enrol and the next use the same."""
    return node_key_load(path) if path.exists() else node_key_create(path)

"""Make this PC a node: one key, one claim code, one printed fingerprint; kept for life in `node.json`.

Rules, in order: a node enrols once; the centre's root of trust must be the one whose fingerprint was printed with the
code; `node.json` is written last, so that a failed enrolment leaves a PC that is not enrolled.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from pathlib import Path

from federation.trust.durable import durable_write
from federation.trust.envelopes import ENROLMENT, envelope_seal
from federation.trust.keys import NodeKey, node_key_create, node_key_load, public_pem
from federation.trust.tuf_client import root_accept
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.enrolment import EnrolmentRequest, Fleet
from node.installed.hardware import hardware_measure
from node.sync.client import CentreClient
from node.sync.errors import AlreadyEnrolled, NotEnrolled


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """Who this node is, and where its centre is."""

    node_id: str
    school: str
    central_url: str
    fleet: Fleet | None


def node_enrol(
    *, root: Path, client: CentreClient, code: str, root_sha256: str, fleet_address: str | None = None
) -> Enrolment:
    """Return this PC's enrolment, kept on the disk; the claim code is used up.

    `fleet_address` (host:port) is where this school reaches the SuperLink, when not where the centre says.

    Raises:
        AlreadyEnrolled: it belongs to a school.
        WrongRoot: the centre is not the one that printed the fingerprint.
        CentreRefused: the code is wrong, used, or out of date; or as CentreClient.
    """
    path = root / "node.json"
    if path.exists():
        raise AlreadyEnrolled(school=enrolment_read(root).school)
    key = node_key(root)
    request = EnrolmentRequest(
        code=code.strip().upper(),
        public_key=public_pem(key),
        hostname=socket.gethostname(),
        hardware=hardware_measure(root),
    )
    answer = client.enrol(envelope_seal(payload=canonical_bytes(request), kind=ENROLMENT, key=key))
    root_accept(root=root / "tuf", metadata=answer.root_metadata, fingerprint=root_sha256)
    fleet = replace(answer.fleet, address=fleet_address) if answer.fleet and fleet_address else answer.fleet
    enrolment = Enrolment(node_id=answer.node_id, school=answer.school, central_url=client.base_url, fleet=fleet)
    durable_write(path, canonical_bytes(enrolment), mode=0o600)
    return enrolment


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


def node_key(root: Path) -> NodeKey:
    """Return the node's key, made at the first call: one try to enrol and the next use the same."""
    path = root / "keys" / "node.pem"
    return node_key_load(path) if path.exists() else node_key_create(path)

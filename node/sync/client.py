"""Every request of the centre's API, with its errors sorted by who can act (protocol §2 to §6).

Knows paths, documents and statuses; decides nothing. TUF metadata and blobs go by federation.trust.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import httpx

from federation.trust.envelopes import PACKED_TYPE, envelope_pack
from federation.wire.canonical import MAX_DOCUMENT_BYTES, MalformedDocument, canonical_bytes, parse
from federation.wire.compression import BZIP2, DEFLATE, body_deflate
from federation.wire.enrolment import EnrolmentAnswer, KeyRotated, Nonce, NonceRequest, ServerTime, Session
from federation.wire.feedback import BatchReceipt
from federation.wire.releases import CheckIn, CheckInAnswer
from federation.wire.rounds import Lease, Upload
from node.sync.errors import CentreBusy, CentreNotTrusted, CentreRefused, CentreUnreachable, SessionRefused
from node.sync.tls import certificate_problem

DocumentT = TypeVar("DocumentT")
LONGEST_RETRY_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class _LeaseRequest:
    plan_id: str


class CentreClient:
    """The centre's API at `base_url`.

    Every method raises:
        CentreUnreachable, CentreBusy, SessionRefused: try later.
        CentreNotTrusted: what answers is not the centre.
        CentreRefused: trying again as it is would not help.
        MalformedDocument: the answer is not what the protocol says.
    """

    def __init__(self, *, http: httpx.Client, base_url: str) -> None:
        """Use `http`, whose headers carry the session's token once there is one."""
        self.http = http
        self.base_url = base_url.rstrip("/")

    def server_time(self) -> datetime:
        """Return the centre's time, which alone counts."""
        return self._ask("GET", "time", ServerTime).server_time

    def enrol(self, envelope: bytes) -> EnrolmentAnswer:
        """Return the centre's answer to a signed enrolment request."""
        return self._ask("POST", "enrolments", EnrolmentAnswer, envelope)

    def key_rotate(self, envelope: bytes) -> KeyRotated:
        """Return the key by which the centre knows this node from now on."""
        return self._ask("POST", "keys", KeyRotated, envelope)

    def nonce(self, *, node_id: str) -> Nonce:
        """Return something fresh to sign."""
        return self._ask("POST", "nonces", Nonce, canonical_bytes(NonceRequest(node_id=node_id)))

    def session_open(self, envelope: bytes) -> Session:
        """Return the session for the signed nonce; the requests after this one carry its token."""
        session = self._ask("POST", "sessions", Session, envelope)
        self.session_resume(session.token)
        return session

    def session_resume(self, token: str) -> None:
        """Let the requests after this one carry the token of a session that was opened before."""
        self.http.headers["Authorization"] = f"Bearer {token}"

    def check_in(self, check_in: CheckIn) -> CheckInAnswer:
        """Return all that the centre has to say."""
        content = body_deflate(canonical_bytes(check_in), coding=DEFLATE)
        return self._ask("POST", "check-ins", CheckInAnswer, content, {"Content-Encoding": DEFLATE})

    def parcels_send(self, envelope: bytes) -> BatchReceipt:
        """Return the receipt for a signed batch, which travels packed and compressed."""
        content = body_deflate(envelope_pack(envelope), coding=BZIP2)
        headers = {"Content-Encoding": BZIP2, "Content-Type": PACKED_TYPE}
        return self._ask("POST", "parcels", BatchReceipt, content, headers)

    def lease_ask(self, *, plan_id: str) -> Lease:
        """Return whether, and how long, this node may open a SuperNode for the plan."""
        return self._ask("POST", "leases", Lease, canonical_bytes(_LeaseRequest(plan_id=plan_id)))

    def upload_show(self, sha256: str) -> Upload:
        """Return how far the upload of an update has come, or what became of it by any way."""
        return self._ask("GET", f"updates/{sha256}", Upload)

    def upload_piece(self, sha256: str, *, content: bytes, start: int, size_bytes: int) -> Upload:
        """Return how far it has come with this piece, which begins at `start` of `size_bytes`."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"bytes {start}-{start + len(content) - 1}/{size_bytes}",
        }
        return self._ask("PUT", f"updates/{sha256}", Upload, content, headers)

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[DocumentT],
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> DocumentT:
        sent = {"Content-Type": "application/json"} | (headers or {}) if content is not None else {}
        try:
            with self.http.stream(method, f"{self.base_url}/api/v1/{path}", content=content, headers=sent) as answer:
                body = body_read(answer, kind.__name__)
        except httpx.HTTPError as error:
            if problem := certificate_problem(error):
                raise CentreNotTrusted(url=self.base_url, problem=problem) from error
            raise CentreUnreachable(url=self.base_url, problem=type(error).__name__) from error
        if answer.is_success:
            return parse(kind, body)
        raise _refusal(answer, body, path)


def body_read(answer: httpx.Response, document: str) -> bytes:
    """Return the answer's body, but never more than a document may be: it could be endless.

    Raises:
        MalformedDocument: it is longer; names the `document` that was expected.
    """
    body = bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > MAX_DOCUMENT_BYTES:
            raise MalformedDocument(document=document, field="", problem="longer than 8 MiB")
    return bytes(body)


def _refusal(answer: httpx.Response, body: bytes, path: str) -> CentreBusy | CentreRefused | SessionRefused:
    reason = _reason(body)
    if answer.status_code == httpx.codes.UNAUTHORIZED and path not in ("sessions", "enrolments", "keys"):
        return SessionRefused(reason=reason)
    if answer.is_server_error or answer.status_code in (408, 425, 429):
        return CentreBusy(status=answer.status_code, reason=reason, retry_after_seconds=_retry_after_seconds(answer))
    return CentreRefused(status=answer.status_code, reason=reason)


def _retry_after_seconds(answer: httpx.Response) -> int:
    """Return for how long the centre wants to be left alone, an hour at most; its date form would need a true clock."""
    asked = answer.headers.get("Retry-After", "")
    return min(int(asked), LONGEST_RETRY_SECONDS) if asked.isascii() and asked.isdecimal() else 0


def _reason(body: bytes) -> str:
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(plain.get("code", ""))[:64] if isinstance(plain, dict) else ""

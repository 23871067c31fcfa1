"""Every request of the centre's API, with its errors sorted by who can act (protocol §2 to §6).

Knows paths, documents and statuses; decides nothing. TUF metadata and blobs go by federation.trust.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import httpx

from federation.wire.canonical import MAX_DOCUMENT_BYTES, canonical_bytes, parse
from federation.wire.enrolment import EnrolmentAnswer, KeyRotated, Nonce, NonceRequest, ServerTime, Session
from federation.wire.feedback import BatchReceipt
from federation.wire.releases import CheckIn, CheckInAnswer
from federation.wire.rounds import Lease
from node.sync.errors import CentreBusy, CentreNotTrusted, CentreRefused, CentreUnreachable, SessionRefused
from node.sync.tls import certificate_problem

DocumentT = TypeVar("DocumentT")
WORTH_COMPRESSING_BYTES = 1024


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
        self.http.headers["Authorization"] = f"Bearer {session.token}"
        return session

    def check_in(self, check_in: CheckIn) -> CheckInAnswer:
        """Return all that the centre has to say."""
        return self._ask("POST", "check-ins", CheckInAnswer, canonical_bytes(check_in))

    def parcels_send(self, envelope: bytes) -> BatchReceipt:
        """Return the receipt for a signed batch, which travels compressed where that is worth it."""
        if len(envelope) < WORTH_COMPRESSING_BYTES:
            return self._ask("POST", "parcels", BatchReceipt, envelope)
        headers = {"Content-Encoding": "deflate"}
        return self._ask("POST", "parcels", BatchReceipt, zlib.compress(envelope, 9), headers)

    def lease_ask(self, *, plan_id: str) -> Lease:
        """Return whether, and how long, this node may open a SuperNode for the plan."""
        return self._ask("POST", "leases", Lease, canonical_bytes(_LeaseRequest(plan_id=plan_id)))

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[DocumentT],
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> DocumentT:
        request = self.http.build_request(
            method,
            f"{self.base_url}/api/v1/{path}",
            content=content,
            headers={"Content-Type": "application/json"} | (headers or {}),
        )
        try:
            answer = self.http.send(request, stream=True)
            try:
                body = _body_read(answer)
            finally:
                answer.close()
        except httpx.HTTPError as error:
            if problem := certificate_problem(error):
                raise CentreNotTrusted(url=self.base_url, problem=problem) from error
            raise CentreUnreachable(url=self.base_url, problem=type(error).__name__) from error
        if answer.is_success:
            return parse(kind, body)
        raise _refusal(answer, body, path)


def _body_read(answer: httpx.Response) -> bytes:
    """Return the answer's body, or the beginning of one that is longer than any document may be."""
    body = bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > MAX_DOCUMENT_BYTES:
            break
    return bytes(body)


def _refusal(answer: httpx.Response, body: bytes, path: str) -> CentreBusy | CentreRefused | SessionRefused:
    reason = _reason(body)
    if answer.status_code == httpx.codes.UNAUTHORIZED and path not in ("sessions", "enrolments", "keys"):
        return SessionRefused(reason=reason)
    if answer.is_server_error or answer.status_code in (408, 425, 429):
        return CentreBusy(status=answer.status_code, reason=reason)
    return CentreRefused(status=answer.status_code, reason=reason)


def _reason(body: bytes) -> str:
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(plain.get("code", ""))[:64] if isinstance(plain, dict) else ""

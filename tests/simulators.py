"""A centre in a few lines, over real HTTP on loopback: what a node needs of one, and the ways in which a link fails."""

from __future__ import annotations

import contextlib
import copy
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

from federation.trust.envelopes import (
    ASSIGNMENT,
    ENROLMENT,
    KEY_ROTATION,
    PACKED_TYPE,
    PARCELS,
    ROUND_PLAN,
    SESSION,
    TIME,
    envelope_open,
    envelope_payload_unverified,
    envelope_seal,
    envelope_unpack,
    signature_make,
)
from federation.trust.keys import director_key_load, key_id, public_key_load
from federation.trust.release_bytes import files_list, index_build, index_digest
from federation.trust.tuf_publisher import (
    director_key_path,
    metadata_version_read,
    repository_create,
    root_fingerprint,
    target_publish,
    targets_withdraw,
)
from federation.wire.canonical import MAX_DOCUMENT_BYTES, canonical_bytes, parse, sha256_hex
from federation.wire.compression import body_inflate
from federation.wire.enrolment import (
    Authority,
    EnrolmentAnswer,
    EnrolmentRequest,
    KeyRotated,
    KeyRotation,
    Nonce,
    NonceRequest,
    Session,
    SessionRequest,
    SignedTime,
)
from federation.wire.feedback import BatchReceipt, Parcel, ParcelBatch, Quarantined
from federation.wire.releases import (
    Assignment,
    CheckIn,
    CheckInAnswer,
    ReleaseIndex,
    ReleaseKind,
    UpdateReceipt,
    Variant,
)
from federation.wire.rounds import Lease, Objective, Precision, RoundPlan, SchemeName, Upload

Backup: TypeAlias = tuple[Any, ...]


class Refusal(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, code: str) -> None:
        self.status, self.code = status, code


class ReceiptLost(Exception):
    """The link ends after the request was handled and before the answer was sent."""


@dataclass
class CentreSimulator:
    """State that tests set and read; `url` answers once `start` was called."""

    scratch: Path
    claim_codes: dict[str, str] = field(default_factory=dict)
    node_keys: dict[str, str] = field(default_factory=dict)
    parcels: dict[tuple[str, str], dict[int, Parcel]] = field(default_factory=dict)
    batches: list[tuple[Parcel, ...]] = field(default_factory=list)
    check_ins: list[CheckIn] = field(default_factory=list)
    receipts_to_lose: int = 0
    receipt_node_id: str = ""
    quarantine: dict[int, str] = field(default_factory=dict)
    assignment: bytes | None = None
    round_plan: bytes | None = None
    update_receipts: tuple[UpdateReceipt, ...] = ()
    requests: list[str] = field(default_factory=list)
    endless: str = ""
    """Requests whose path begins so are answered with bytes that never end."""
    lease_seconds: float = 0.0
    """How long a node may keep a SuperNode open; 0: no lease."""
    uploads: dict[str, bytearray] = field(default_factory=dict)
    """What has come of updates by HTTPS, by their digest; a whole one is accepted at once."""
    piece_limit: int | None = None
    """The link ends within every piece that has more bytes than this."""
    check_ins_until_revoked: int | None = None
    """After so many more check-ins the centre shuts all its doors to every node."""
    authority: str = ""
    session_refusal: str = ""
    heard: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """By node and epoch: the number of the last check-in, and of the one that told last of a restore."""

    def __post_init__(self) -> None:
        self.now = datetime.now(UTC)
        self.clock = lambda: datetime.now(UTC)
        self.tuf, self.keys, self.blobs = self.scratch / "tuf", self.scratch / "keys", self.scratch / "blobs"
        self.root_metadata = repository_create(root=self.tuf, keys=self.keys, now=self.now)
        self.fingerprint = root_fingerprint(self.root_metadata)
        self.director = director_key_load(director_key_path(self.keys))
        self.nonces: set[str] = set()
        self.endless_bytes = 0
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve_tls(self, certificate: Path, key: Path) -> None:
        """Speak TLS from now on; to be called before `start`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # The handshake belongs to each connection's own thread: a client that refuses it must not hold up the next.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = self.url.replace("http://", "https://")

    def start(self) -> None:
        """Answer from now on."""
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Answer no more; connections are refused."""
        self._server.shutdown()
        self._server.server_close()

    def backup(self) -> Backup:
        """Return what the centre knows by now."""
        return copy.deepcopy((self.parcels, self.update_receipts, self.uploads, self.heard))

    def restore(self, backup: Backup) -> None:
        """Know no more than at the time of the backup."""
        self.parcels, self.update_receipts, self.uploads, self.heard = copy.deepcopy(backup)

    def assign(
        self,
        *,
        node_id: str,
        sequence: int,
        release: str | None,
        reason: str = "",
        variant: str = "",
        **change_over: Any,
    ) -> None:
        """Let the next check-in carry this assignment."""
        document = Assignment(
            node_id=node_id,
            sequence=sequence,
            release=release,
            rollout="r",
            wave=1,
            waiting_reason=reason,
            issued_at=self.now,
            variant=variant,
            **change_over,
        )
        self.assignment = envelope_seal(payload=canonical_bytes(document), kind=ASSIGNMENT, key=self.director)

    def plan(self, document: RoundPlan) -> None:
        """Let the next check-in carry this plan."""
        self.round_plan = envelope_seal(payload=canonical_bytes(document), kind=ROUND_PLAN, key=self.director)

    def publish(
        self,
        package: Path,
        *,
        version: int = 1,
        base: str | None = None,
        contributions: tuple[str, ...] = (),
        tensors: Mapping[str, tuple[int, ...]] | None = None,
    ) -> ReleaseIndex:
        """Publish the files under `package` as a release and return its index."""
        kind = ReleaseKind.ADAPTER if base else ReleaseKind.BASE
        index = index_build(
            package=package,
            kind=kind,
            version=version,
            title=package.name,
            base=base,
            contributions=contributions,
            tensors=tensors,
        )
        self._publish(index, [package])
        return index

    def publish_variants(self, packages: Mapping[str, Path]) -> ReleaseIndex:
        """Publish a base of which every PC can carry every variant, and return its index."""
        variants = tuple(
            Variant(name=name, memory_bytes=0, gpu_memory_bytes=0, files=files_list(package))
            for name, package in packages.items()
        )
        index = ReleaseIndex(
            kind=ReleaseKind.BASE, version=1, title="forms", base=None, files=(), contributions=(), variants=variants
        )
        self._publish(index, packages.values())
        return index

    def _publish(self, index: ReleaseIndex, packages: Iterable[Path]) -> None:
        self.blobs.mkdir(exist_ok=True)
        for package in packages:
            for entry in files_list(package):
                (self.blobs / entry.sha256).write_bytes((package / entry.path).read_bytes())
        path = f"releases/{index_digest(index)}.json"
        target_publish(root=self.tuf, keys=self.keys, path=path, content=canonical_bytes(index), now=self.now)

    def withdraw(self, digest: str) -> None:
        """Take a release out of TUF's targets."""
        targets_withdraw(root=self.tuf, keys=self.keys, paths=[f"releases/{digest}.json"], now=self.now)

    def answer(self, path: str, body: bytes, token: str) -> object:
        """Return the document that answers an API request."""
        open_doors = {
            "time": self._time,
            "authority": self._authority,
            "enrolments": self._enrol,
            "nonces": self._nonce,
            "sessions": self._session,
            "keys": self._key,
        }
        if path in open_doors:
            return open_doors[path](body)
        if token.removeprefix("Bearer token-") not in self.node_keys:
            raise Refusal(401, "session_unknown")
        if path.startswith("updates/"):
            return self.upload(path.removeprefix("updates/"))
        return {"check-ins": self._check_in, "parcels": self._parcels, "leases": self._lease}[path](body)

    def piece(self, sha256: str, content_range: str, content: bytes) -> Upload:
        """Take in a piece of an update; the last one has its receipt given at the next check-in."""
        if self.piece_limit is not None and len(content) > self.piece_limit:
            raise ReceiptLost
        place, _, size = content_range.removeprefix("bytes ").partition("/")
        held = self.uploads.setdefault(sha256, bytearray())
        if int(place.partition("-")[0]) != len(held):
            raise Refusal(409, "upload_offset_wrong")
        held += content
        if len(held) == int(size):
            self.receive(sha256)
        return self.upload(sha256)

    def receive(self, sha256: str) -> None:
        """Have accepted an update, by whichever way it came."""
        receipt = UpdateReceipt(plan_id="plan-1", update_sha256=sha256, accepted=True, code="")
        self.update_receipts = (*self.update_receipts, receipt)

    def upload(self, sha256: str) -> Upload:
        """Say how far an update has come."""
        is_judged = any(receipt.update_sha256 == sha256 for receipt in self.update_receipts)
        received = len(self.uploads.get(sha256, b""))
        return Upload(sha256=sha256, received_bytes=received, is_judged=is_judged, accepted=is_judged, code="")

    def _time(self, _body: bytes) -> object:
        return {"server_time": self.clock()}

    def _authority(self, _body: bytes) -> Authority:
        return Authority(certificates=self.authority)

    def _nonce(self, body: bytes) -> Nonce:
        nonce = f"nonce-{len(self.requests)}-{parse(NonceRequest, body).node_id}"
        self.nonces.add(nonce)
        return Nonce(nonce=nonce, server_time=self.clock())

    def _lease(self, body: bytes) -> Lease:
        plan_id = json.loads(body)["plan_id"]
        expires_at = self.clock() + timedelta(seconds=self.lease_seconds)
        is_granted = self.lease_seconds > 0
        return Lease(plan_id=plan_id, granted=is_granted, expires_at=expires_at, retry_after_seconds=7)

    def _enrol(self, body: bytes) -> EnrolmentAnswer:
        request = parse(EnrolmentRequest, envelope_payload_unverified(body, kind=ENROLMENT))
        envelope_open(body, kind=ENROLMENT, key=public_key_load(request.public_key))
        if request.code not in self.claim_codes:
            raise Refusal(404, "claim_code_unknown")
        node_id = f"node-{request.code}"
        if self.node_keys.get(node_id, request.public_key) != request.public_key:
            raise Refusal(409, "claim_code_used")
        self.node_keys[node_id] = request.public_key
        return EnrolmentAnswer(
            node_id=node_id,
            school=self.claim_codes[request.code],
            root_metadata=self.root_metadata,
            fleet=None,
            server_time=self.clock(),
            status="active",
        )

    def _session(self, body: bytes) -> Session:
        request = parse(SessionRequest, envelope_payload_unverified(body, kind=SESSION))
        if request.node_id not in self.node_keys:
            raise Refusal(403, "node_unknown")
        if self.session_refusal:
            raise Refusal(403, self.session_refusal)
        envelope_open(body, kind=SESSION, key=public_key_load(self.node_keys[request.node_id]))
        if request.nonce not in self.nonces:
            raise Refusal(403, "nonce_unknown")
        self.nonces.remove(request.nonce)
        said = SignedTime(node_id=request.node_id, nonce=request.nonce, server_time=self.clock())
        return Session(
            token=f"token-{request.node_id}",
            expires_in_seconds=600,
            server_time=said.server_time,
            time_signature=signature_make(payload=canonical_bytes(said), kind=TIME, key=self.director),
        )

    def _key(self, body: bytes) -> KeyRotated:
        wish = parse(KeyRotation, envelope_payload_unverified(body, kind=KEY_ROTATION))
        for pem in (wish.public_key, self.node_keys[wish.node_id]):
            envelope_open(body, kind=KEY_ROTATION, key=public_key_load(pem))
        self.node_keys[wish.node_id] = wish.public_key
        if self.receipts_to_lose:
            self.receipts_to_lose -= 1
            raise ReceiptLost
        return KeyRotated(node_id=wish.node_id, key_id=key_id(public_key_load(wish.public_key)))

    def _check_in(self, body: bytes) -> CheckInAnswer:
        check_in = parse(CheckIn, body)
        self.check_ins.append(check_in)
        if self.check_ins_until_revoked is not None:
            self.check_ins_until_revoked -= 1
            if self.check_ins_until_revoked < 0:
                self.node_keys.clear()
                raise Refusal(401, "session_unknown")
        name = (check_in.node_id, check_in.epoch)
        known = self.parcels.get(name, {})
        number, restored_number = self.heard.get(name, (0, 0))
        restored_number = check_in.number if check_in.heard_number > number else restored_number
        self.heard[name] = (check_in.number, restored_number)
        has_assignment = self.assignment is not None and sha256_hex(self.assignment) == check_in.assignment_sha256
        return CheckInAnswer(
            server_time=self.clock(),
            next_checkin_seconds=3600,
            assignment=None if has_assignment else self.assignment,
            round_plan=self.round_plan,
            acknowledged_seq=max(known, default=0),
            update_receipts=self.update_receipts,
            acknowledged_event=known[max(known)].event_id if known else "",
            metadata_version=metadata_version_read(self.tuf),
            next_checkin_spread_seconds=600,
            quarantined=tuple(Quarantined(seq=seq, code=code) for seq, code in self.quarantine.items()),
            heard_number=check_in.number,
            restored_number=restored_number,
        )

    def _parcels(self, body: bytes) -> BatchReceipt:
        node_id = parse(ParcelBatch, envelope_payload_unverified(body, kind=PARCELS)).node_id
        content = envelope_open(body, kind=PARCELS, key=public_key_load(self.node_keys[node_id]))
        batch = parse(ParcelBatch, content)
        self.batches.append(batch.parcels)
        kept = self.parcels.setdefault((node_id, batch.epoch), {})
        for parcel in batch.parcels:
            kept.setdefault(parcel.seq, parcel)
        if self.receipts_to_lose:
            self.receipts_to_lose -= 1
            raise ReceiptLost
        return BatchReceipt(
            node_id=self.receipt_node_id or node_id,
            epoch=batch.epoch,
            acknowledged_seq=max(kept),
            quarantined=tuple(Quarantined(seq=seq, code=code) for seq, code in self.quarantine.items()),
            acknowledged_event=kept[max(kept)].event_id,
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that broke off, as those must that refuse a certificate."""

    def __init__(self, simulator: CentreSimulator) -> None:
        self.simulator = simulator
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """The doors; what is behind them is the simulator's."""

    protocol_version = "HTTP/1.1"

    @property
    def simulator(self) -> CentreSimulator:
        """The centre behind the doors."""
        if not isinstance(self.server, _Server):
            raise TypeError("the doors of another server")
        return self.server.simulator

    def do_GET(self) -> None:
        self.simulator.requests.append(f"GET {self.path}")
        if self._is_endless():
            return
        if self.path.startswith("/tuf/"):
            self._file(self.simulator.tuf / self.path.removeprefix("/tuf/"))
        elif self.path.startswith("/blobs/"):
            self._blob(self.path.removeprefix("/blobs/"))
        else:
            self._api(b"")

    def do_POST(self) -> None:
        self.simulator.requests.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self._is_endless():
            return
        coding = self.headers.get("Content-Encoding", "")
        body = body_inflate(body, coding=coding, limit_bytes=MAX_DOCUMENT_BYTES)
        self._api(envelope_unpack(body) if self.headers.get("Content-Type") == PACKED_TYPE else body)

    def do_PUT(self) -> None:
        self.simulator.requests.append(f"PUT {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sha256, content_range = self.path.rpartition("/")[2], self.headers["Content-Range"]
        self._answer("", lambda: self.simulator.piece(sha256, content_range, body))

    def _api(self, body: bytes) -> None:
        path = self.path.removeprefix("/api/v1/")
        token = self.headers.get("Authorization", "")
        self._answer(path, lambda: self.simulator.answer(path, body, token))

    def _answer(self, path: str, make: Callable[[], object]) -> None:
        try:
            answer = make()
            self._send(201 if path == "enrolments" else 200, canonical_bytes(answer))
        except Refusal as refusal:
            self._send(refusal.status, canonical_bytes({"code": refusal.code, "fields": {}, "message": ""}))
        except ReceiptLost:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _is_endless(self) -> bool:
        """Send until the other side hangs up, where the test wants that."""
        if not self.simulator.endless or not self.path.startswith(self.simulator.endless):
            return False
        asked = self.headers.get("Range", "").removeprefix("bytes=")
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {asked}/*")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(64 * 1024))
                self.simulator.endless_bytes += 64 * 1024
        return True

    def _file(self, path: Path) -> None:
        if path.is_file():
            self._send(200, path.read_bytes())
        else:
            self._send(404, b"{}")

    def _blob(self, sha256: str) -> None:
        content = (self.simulator.blobs / sha256).read_bytes()
        first, last = (int(edge) for edge in self.headers["Range"].removeprefix("bytes=").split("-"))
        piece = content[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(piece) - 1}/{len(content)}")
        self.send_header("ETag", f'"{sha256}"')
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        self.wfile.write(piece)

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def round_plan(**changes: Any) -> RoundPlan:
    """Return a small plan that is open for a day, with `changes` to it."""
    now = datetime.now(UTC)
    plan = RoundPlan(
        plan_id="plan-1",
        season_id="season-1",
        version=0,
        base="b" * 64,
        start="",
        scheme=SchemeName.FFA_LORA,
        precision=Precision.FLOAT16,
        objective=Objective(preference=0.0, ratings=0.0, beta=0.1),
        seed="seed",
        rank=2,
        slots=("layers.0.q_proj",),
        learning_rate=0.01,
        max_steps=3,
        stop_loss=0.1,
        anchors=(),
        min_labels=1,
        max_labels=2,
        max_norm=1.0,
        issued_at=now,
        closes_at=now + timedelta(days=1),
    )
    return replace(plan, **changes)

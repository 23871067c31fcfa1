"""A school's PC with one finished update, which it hands in by the node's own ways until the centre's receipt came."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import httpx
import numpy as np

from federation.errors import FederationError
from federation.learning.update import update_read, update_write
from federation.trust.envelopes import ENROLMENT, ROUND_PLAN, SESSION, envelope_payload_unverified, envelope_seal
from federation.trust.keys import NodeKey, node_key_create, public_pem
from federation.wire.canonical import canonical_bytes, parse, sha256_hex
from federation.wire.enrolment import EnrolmentRequest, Fleet, Hardware, SessionRequest
from federation.wire.releases import UpdateReceipt
from federation.wire.rounds import Factor, RoundPlan
from node.rounds.supernode import Contact, FlowerClient, contact_hold
from node.sync.client import CentreClient
from node.sync.errors import SessionRefused
from node.sync.upload import update_upload
from tests.central.school import HARDWARE, check_in_of

LEASE_SECONDS = 45.0
PAUSE_SECONDS = 0.5
# A node may check in sixty times a minute.
POLL_SECONDS = 1.2


class Way(StrEnum):
    """How a school hands its update in."""

    SUPERNODE = FlowerClient.SUPERNODE.value
    DURABLE = FlowerClient.DURABLE.value
    HTTPS = "https"


@dataclass(kw_only=True)
class School:
    """One school; it hands in by all of `ways` at the same time."""

    number: int
    folder: Path
    address: str
    ways: tuple[Way, ...]
    tell: Callable[[str], None]
    key: NodeKey
    labels: int = 0
    content: bytes = b""
    receipt: UpdateReceipt | None = None
    plan: RoundPlan | None = None
    fleet: Fleet | None = None
    calls: int = 0
    """How often it has begun to hand in."""
    # What a check-in says of the PC (tests.central.school.check_in_of).
    node_id: str = ""
    epoch: str = "epoch-1"
    running: str | None = None
    capabilities: tuple[str, ...] = ("chat", "train")
    hardware: Hardware = HARDWARE
    variants: Mapping[str, str] = field(default_factory=dict)
    updates_waiting: tuple[str, ...] = ()
    _threads: list[threading.Thread] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def enrolled(
        cls,
        folder: Path,
        *,
        number: int,
        address: str,
        ways: tuple[Way, ...],
        tell: Callable[[str], None],
        code: str,
        root_sha256: str,
        base: str,
    ) -> School:
        """Return a school that runs `base` and has a finished update to the plan that the centre has offered it."""
        (folder / "outbox").mkdir(parents=True)
        key = node_key_create(folder / "node.pem")
        school = cls(number=number, folder=folder, address=address, ways=ways, tell=tell, key=key, running=base)
        request = EnrolmentRequest(
            code=code, root_sha256=root_sha256, public_key=public_pem(key), hostname="maktab-pc", hardware=HARDWARE
        )
        with httpx.Client(timeout=60) as http:
            client = CentreClient(http=http, base_url=address)
            answer = client.enrol(envelope_seal(payload=canonical_bytes(request), kind=ENROLMENT, key=key))
            school.node_id, school.fleet = answer.node_id, answer.fleet
            school._session_open(client)
            offered = client.check_in(check_in_of(school)).round_plan
        assert offered is not None
        school._learn(parse(RoundPlan, envelope_payload_unverified(offered, kind=ROUND_PLAN)))
        assert school.fleet is not None
        (folder / "authority.pem").write_text(school.fleet.ca_certificate)
        return school

    @property
    def sha256(self) -> str:
        """Of its update."""
        return sha256_hex(self.content)

    @property
    def learnt(self) -> dict[str, np.ndarray]:
        """What its update says of each slot: B, as rounded by the wire."""
        assert self.plan is not None
        _header, arrays = update_read(self.content, precision=self.plan.precision)
        return {slot: array for (slot, factor), array in arrays.items() if factor is Factor.B}

    def begin(self) -> None:
        """Hand in, in threads of its own, again and again until the receipt is here."""
        self._threads = [threading.Thread(target=self._hand_in, args=(way,), daemon=True) for way in self.ways]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop handing in; every process of the school has ended then."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _learn(self, plan: RoundPlan) -> None:
        """Finish an update of small random numbers; no two schools' point the same way, or weigh the same."""
        rng = np.random.default_rng(self.number)
        sizes = {"o": 64, "down": 64}
        arrays = {
            (slot, Factor.B): rng.normal(0, 0.02, (plan.rank, sizes[slot.rpartition(".")[2]])).astype(np.float32)
            for slot in plan.slots
        }
        self.plan, self.labels = plan, 5 + self.number
        self.content = update_write(
            plan=plan,
            node_id=self.node_id,
            counter=1,
            labels=self.labels,
            steps=1,
            loss_before=3.0,
            loss_after=1.0,
            arrays=arrays,
            made_at=datetime.now(UTC),
            key=self.key,
        )
        self.updates_waiting = (self.sha256,)
        (self.folder / "outbox" / f"{plan.season_id}-1.update").write_bytes(self.content)

    def _hand_in(self, way: Way) -> None:
        with httpx.Client(timeout=20) as http:
            client = CentreClient(http=http, base_url=self.address)
            while self.receipt is None and not self._is_over.wait(PAUSE_SECONDS):
                self.calls += 1
                try:
                    if way is Way.HTTPS:
                        update_upload(client=client, sha256=self.sha256, content=self.content)
                        self._is_received(client)
                    else:
                        self._meet(client, FlowerClient(way.value))
                except SessionRefused:
                    self._session_reopen(client)
                except FederationError as error:
                    self.tell(f"school {self.number} by {way}: {error.code}")
                    self._is_over.wait(2.0)

    def _meet(self, client: CentreClient, program: FlowerClient) -> None:
        assert self.plan is not None
        assert self.fleet is not None
        if not client.lease_ask(plan_id=self.plan.plan_id).granted:
            return
        contact = Contact(
            superlink=self.fleet.address,
            authority=self.folder / "authority.pem",
            node_key=self.folder / "node.pem",
            outbox=self.folder / "outbox",
            home=self.folder / "flower",
            log_path=self.folder / "supernode.log",
            client=program,
        )
        report = contact_hold(
            contact=contact,
            is_received=lambda: self._is_over.is_set() or self._is_received(client),
            lease_seconds=LEASE_SECONDS,
            poll_seconds=POLL_SECONDS,
        )
        self.tell(f"school {self.number} by {program}: {report.end} after {report.seconds:.1f} s")

    def _is_received(self, client: CentreClient) -> bool:
        try:
            receipts = client.check_in(check_in_of(self)).update_receipts
        except SessionRefused:
            self._session_reopen(client)
            return False
        except FederationError:
            return False
        for receipt in receipts:
            if self.receipt is None:
                self.tell(f"school {self.number} has its receipt: accepted {receipt.accepted} {receipt.code}")
            self.receipt = receipt
        return self.receipt is not None

    def _session_reopen(self, client: CentreClient) -> None:
        try:
            self._session_open(client)
        except FederationError as error:
            self.tell(f"school {self.number}: no session, {error.code}")
            self._is_over.wait(1.0)

    def _session_open(self, client: CentreClient) -> None:
        request = SessionRequest(node_id=self.node_id, nonce=client.nonce(node_id=self.node_id).nonce)
        client.session_open(envelope_seal(payload=canonical_bytes(request), kind=SESSION, key=self.key))

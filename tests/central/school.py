"""A school's PC as the centre sees it: it talks through the doors alone, with a real key and real envelopes."""

import json
import zlib
from dataclasses import replace
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone

from central.schools.invitations import school_invite
from central.trust_root import root_fingerprint
from federation.trust.envelopes import (
    ASSIGNMENT,
    ENROLMENT,
    PARCELS,
    SESSION,
    envelope_payload_unverified,
    envelope_seal,
)
from federation.trust.keys import public_pem
from federation.wire.canonical import canonical_bytes, from_plain, parse
from federation.wire.enrolment import EnrolmentAnswer, EnrolmentRequest, Hardware, Nonce, Session, SessionRequest
from federation.wire.feedback import BatchReceipt, Parcel, ParcelBatch, ParcelKind, RatingBody
from federation.wire.releases import Assignment, CheckIn, CheckInAnswer, InstallReport, InstallState

HARDWARE = Hardware(cores=2, memory_bytes=4 * 2**30, disk_free_bytes=50 * 2**30, machine="x86_64", gpu_memory_bytes=0)
RATING = RatingBody(
    question="Пойтахти Тоҷикистон кадом аст?",
    answer="Намедонам.",
    stars=1,
    correction="Пойтахти Тоҷикистон шаҳри Душанбе аст.",
    reasons=("wrong",),
    subject="география",
    grade=5,
    release="a" * 64,
    teacher="b" * 64,
    rated_at=datetime(2026, 11, 23, 9, 0, tzinfo=UTC),
)


def rating_parcel(seq, **changes):
    parcel = Parcel(
        seq=seq,
        event_id=f"event-{seq}",
        record_id=f"record-{seq}",
        revision=1,
        kind=ParcelKind.RATING,
        body=json.loads(canonical_bytes(RATING)),
    )
    return replace(parcel, **changes)


class SimulatedSchool:
    def __init__(self, client, code):
        self.client = client
        self.code = code
        self.key = ec.generate_private_key(ec.SECP384R1())
        self.node_id = ""
        self.token = ""
        self.epoch = "epoch-1"
        self.running = None
        self.capabilities = ("chat", "train")
        self.hardware = HARDWARE
        self.variants = {}
        self.updates_waiting = ()

    @classmethod
    def enrolled(cls, client, *, name):
        invitation = school_invite(name=name, region="Хатлон", actor="test", now=timezone.now())
        school = cls(client, invitation.code)
        answer = school.enrol()
        assert answer.status_code == 201, answer.content
        school.node_id = parse(EnrolmentAnswer, answer.content).node_id
        assert school.open_session().status_code == 201
        return school

    def enrol(self, *, key=None, signer=None, code=None, root_sha256=None):
        key = key or self.key
        request = EnrolmentRequest(
            code=code or self.code,
            root_sha256=root_sha256 or root_fingerprint(),
            public_key=public_pem(key),
            hostname="maktab-pc",
            hardware=HARDWARE,
        )
        envelope = envelope_seal(payload=canonical_bytes(request), kind=ENROLMENT, key=signer or key)
        return self.post("enrolments", envelope, signed_in=False)

    def ask_nonce(self):
        return parse(Nonce, self.post("nonces", canonical_bytes({"node_id": self.node_id}), signed_in=False).content)

    def open_session(self, *, nonce=None, key=None):
        nonce = nonce or self.ask_nonce().nonce
        request = canonical_bytes(SessionRequest(node_id=self.node_id, nonce=nonce))
        envelope = envelope_seal(payload=request, kind=SESSION, key=key or self.key)
        answer = self.post("sessions", envelope, signed_in=False)
        if answer.status_code == 201:
            self.token = parse(Session, answer.content).token
        return answer

    def send_parcels(self, *parcels, key=None, node_id=None, deflate=False):
        batch = ParcelBatch(node_id=node_id or self.node_id, epoch=self.epoch, parcels=parcels)
        content = envelope_seal(payload=canonical_bytes(batch), kind=PARCELS, key=key or self.key)
        headers = {"Content-Encoding": "deflate"} if deflate else {}
        return self.post("parcels", zlib.compress(content) if deflate else content, headers=headers)

    def receipt(self, *parcels):
        return parse(BatchReceipt, self.send_parcels(*parcels).content)

    def check_in(self, *reports, **said):
        answer = self.post("check-ins", canonical_bytes(replace(check_in_of(self, *reports), **said)))
        assert answer.status_code == 200, answer.content
        return parse(CheckInAnswer, answer.content)

    def word(self, *reports):
        """Return the director's word after a check-in."""
        envelope = self.check_in(*reports).assignment
        return parse(Assignment, envelope_payload_unverified(envelope, kind=ASSIGNMENT))

    def report(self, word, state, error_code=""):
        return InstallReport(
            release=word.release,
            sequence=word.sequence,
            state=InstallState(state),
            error_code=error_code,
            bytes_fetched=100,
            at=timezone.now(),
        )

    def install(self):
        """Fetch, test, try and commit what the director names, and say so; return the word."""
        word = self.word()
        self.running = word.release
        self.check_in(self.report(word, "committed"))
        return word

    def post(self, path, content, *, signed_in=True, headers=None):
        headers = {**(headers or {}), **({"Authorization": f"Bearer {self.token}"} if signed_in else {})}
        return self.client.post(f"/api/v1/{path}", content, content_type="application/json", headers=headers)


def plain(answer, kind):
    return from_plain(kind, json.loads(answer.content))


def check_in_of(school, *reports):
    """Return what a school's PC says at a check-in."""
    return CheckIn(
        node_id=school.node_id,
        epoch=school.epoch,
        sent_at=timezone.now(),
        running=school.running,
        installs=reports,
        disk_free_bytes=10**10,
        outbox_depth=0,
        capabilities=school.capabilities,
        hardware=school.hardware,
        variants=school.variants,
        problems=(),
        assignment_sequence=0,
        assignment_sha256="",
        plan_id="",
        updates_waiting=school.updates_waiting,
        acknowledged_seq=0,
        number=1,
    )

"""A centre and a school's PC in one process, with nothing between them but a folder that stands for a stick."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User

from central import trust_root
from central.courier.cargo import nodes_of
from central.courier.services import stick_export, stick_import
from central.disk import CentreDisk
from central.releases.models import Release, ReleaseKindChoice
from central.releases.services import release_built, release_sign
from central.releases.storage import blob_path
from central.releases.variants import BuiltPackage
from central.rollouts.services import rollout_approve, rollout_create, rollout_submit
from central.rollouts.tick import rollouts_advance
from central.rollouts.wave_spec import wave_spec_read
from central.schools.invitations import school_invite
from federation.trust.stick_disk import StickDisk
from federation.wire.releases import CHUNK_BYTES
from node.chat.models import Answer, Conversation, Turn
from node.installed.self_test import SelfTestVerdict
from node.ratings.services import Opinion, rating_record
from node.stick.bringing import Bench, BringingIn
from node.stick.models import StickTrip
from node.stick.services import stick_bring_in, stick_write_out, trip_begin
from node.stick.writing import school_write
from node.sync.claim import Claim
from node.sync.services import ContactTimes

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
CARD = {"slots": [], "max_rank": 4, "vocab_size": 9, "context_tokens": 9}


@dataclass
class Clock:
    """A clock that only a test moves."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def tick(self, **step: float) -> None:
        self.now += timedelta(**step)


@dataclass
class Centre:
    """The ministry's side of the stick."""

    disk: CentreDisk
    fingerprint: str
    clock: Clock

    def export(self, stick: StickDisk, *, schools=(), regions=()):
        return stick_export(
            stick=stick,
            nodes=nodes_of(schools=schools, regions=regions),
            disk=self.disk,
            key=trust_root.director_key(),
            actor="courier",
            now=self.clock(),
        )

    def take_in(self, source):
        return stick_import(source=source, place="stick", disk=self.disk, actor="courier", now=self.clock())

    def invite(self, name: str, region: str = "Хатлон") -> Claim:
        invitation = school_invite(name=name, region=region, actor="test", now=self.clock())
        return Claim(code=invitation.code, root_sha256=self.fingerprint)

    def publish(self, package: Path, *, base: Release | None = None, further: dict[str, Path] | None = None) -> Release:
        """Sign a release of the files under `package` without the gate, which has its own tests.

        With `further` variants by name, `package` is the variant int4 of a base.
        """
        named = {"int4": package, **further} if further else {"": package}
        built = [BuiltPackage(folder=folder, card=CARD, variant=name) for name, folder in named.items()]
        kind = ReleaseKindChoice.ADAPTER if base else ReleaseKindChoice.BASE
        version = Release.objects.count() + 1
        release = Release.objects.create(
            kind=kind, version=version, title=package.name, base=base, status="building", created_by="t", created_at=NOW
        )
        release_built(release=release, packages=built, disk=self.disk, now=self.clock())
        Release.objects.filter(pk=release.pk).update(status="awaiting_signature")
        release.refresh_from_db()
        release_sign(release=release, disk=self.disk, actor="test", now=self.clock())
        return release

    def roll_out(self, release: Release, wave: str = "all=100%"):
        rollout = rollout_create(
            release=release, waves=[wave_spec_read(wave)], creator="a", starts_at=None, now=self.clock()
        )
        rollout_submit(rollout=rollout, actor="a", now=self.clock())
        rollout_approve(rollout=rollout, approver="b", now=self.clock())
        rollouts_advance(now=self.clock())
        return rollout

    def blob(self, sha256: str) -> Path:
        return blob_path(root=self.disk.blobs, sha256=sha256)


@dataclass
class School:
    """A school's PC, which is never linked."""

    root: Path
    clock: Clock
    times: ContactTimes = field(default_factory=lambda: ContactTimes(trial_seconds=0, poll_seconds=0.01))

    def write_out(self, stick: StickDisk, claim: Claim | None = None):
        trip = trip_begin(way=StickTrip.Way.WRITE_OUT, place=stick.place, now=self.clock())
        return stick_write_out(trip=trip, root=self.root, clock=self.clock, claim=claim)

    def bring_in(self, stick: StickDisk):
        trip = trip_begin(way=StickTrip.Way.BRING_IN, place=stick.place, now=self.clock())
        return stick_bring_in(trip=trip, bench=self.bench)

    @property
    def bench(self) -> Bench:
        return Bench(root=self.root, clock=self.clock, times=self.times, self_test=_passes)

    def bring_in_pulled(self, stick: StickDisk):
        """Bring in from a stick that the test breaks."""
        return BringingIn(disk=stick, bench=self.bench).all()

    def write_out_pulled(self, stick: StickDisk):
        """Write on a stick that the test breaks."""
        return school_write(root=self.root, disk=stick, now=self.clock())


def _passes(_package, _adapter):
    return SelfTestVerdict(has_passed=True, code="", detail="")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def centre(db, settings, tmp_path, clock):
    settings.CENTRAL_ROOT = tmp_path / "central"
    settings.CENTRAL_ROOT.mkdir()
    return Centre(disk=CentreDisk(settings.CENTRAL_ROOT), fingerprint=trust_root.keys_make(now=NOW), clock=clock)


@pytest.fixture
def school(db, settings, tmp_path, clock):
    settings.NODE_ROOT = tmp_path / "node"
    settings.NODE_ROOT.mkdir()
    return School(root=settings.NODE_ROOT, clock=clock)


@pytest.fixture
def stick(tmp_path):
    (tmp_path / "stick").mkdir()
    return StickDisk(tmp_path / "stick")


@pytest.fixture
def enrolled(centre, school, stick):
    """A school that has enrolled by stick alone, and a stick that has the centre's first letter to it."""
    claim = centre.invite("Мактаби №1")
    centre.export(stick)
    school.write_out(stick, claim)
    centre.take_in(stick)
    centre.export(stick)
    school.bring_in(stick)
    return school


@pytest.fixture
def teacher(db):
    user = User.objects.create_user("munira", password="a-password")
    user.groups.add(Group.objects.get_or_create(name="teacher")[0])
    return user


@pytest.fixture
def package(tmp_path):
    """A release of two files: some chunks with a short last one, and a card that any PC is big enough for."""
    return package_make(tmp_path / "base")


def package_make(folder: Path, seed: int = 3) -> Path:
    folder.mkdir()
    (folder / "card.json").write_text("{}")
    (folder / "model.bin").write_bytes(random.Random(seed).randbytes(3 * CHUNK_BYTES + 77))
    return folder


def rate(school, teacher, correction="Душанбе.", stars=2):
    """Let the teacher correct an answer."""
    conversation = Conversation.objects.create(session_key="guest", started_at=NOW)
    turn = Turn.objects.create(conversation=conversation, question="Пойтахт кадом аст?", asked_at=NOW)
    answer = Answer.objects.create(
        turn=turn, text="Хуҷанд.", status=Answer.Status.FINISHED, release="c" * 64, release_version=1, finished_at=NOW
    )
    opinion = Opinion(stars=stars, correction=correction)
    return rating_record(answer=answer, teacher=teacher, opinion=opinion, now=NOW, root=school.root)

"""Sticks that are late, old, pulled out, damaged, swapped or forged: what is refused, and what did not change."""

import errno
import io
import json
import shutil
import zipfile
from dataclasses import replace
from itertools import permutations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone

from central import trust_root
from central.courier.letters import letter_for, node_letter
from central.courier.models import RefusedRequest
from central.courier.returns_file import returns_open, returns_unzip
from central.feedback.models import Rating, ReceivedParcel
from central.feedback.services import parcels_take_in
from central.releases.services import release_revoke
from central.rollouts.evidence import wave_counts
from central.rollouts.models import Assignment, AssignmentStatus, Directive
from central.schools.invitations import school_invite
from central.schools.keys import envelope_from
from central.schools.models import Node
from central.schools.services import node_revoke, node_suspend
from central.training.models import Update
from federation.trust import stick_layout as layout
from federation.trust.courier_keys import courier_keys_load
from federation.trust.envelopes import CHECK_IN, ENROLMENT, PARCELS, envelope_seal
from federation.trust.errors import WrongRoot
from federation.trust.keys import director_key_create, key_id, node_key_load, public_key_load, public_pem
from federation.trust.stick_disk import StickDisk
from federation.trust.stick_errors import StickFull, StickGone, StickUnknown
from federation.trust.stick_letters import letter_seal
from federation.trust.stick_returns import SentFile, returns_read, returns_write
from federation.trust.tuf_publisher import courier_key_path, metadata_read, repository_create, timestamp_refresh
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.enrolment import EnrolmentRequest
from federation.wire.feedback import ParcelBatch
from node.installed.services import trial_commit
from node.installed.state import slots_read
from node.outbox.models import Parcel
from node.outbox.services import parcels_due, parcels_waiting
from node.stick.models import StickTrip
from node.sync.enrol import enrolment_read, node_key
from node.sync.errors import NotEnrolled
from node.sync.services import seen_sequence
from tests.central.school import HARDWARE, SimulatedSchool, check_in_of, rating_parcel
from tests.courier.conftest import package_make, rate


class PulledStick(StickDisk):
    """Is pulled out once `bytes_left` more bytes were written, or `reads_left` more reads were asked for."""

    def __init__(self, place, *, bytes_left=10**9, reads_left=10**9):
        super().__init__(place)
        self.bytes_left, self.reads_left = bytes_left, reads_left

    def written(self, handle, piece):
        super().written(handle, piece[: max(self.bytes_left, 0)])
        self.bytes_left -= len(piece)
        if self.bytes_left < 0:
            raise OSError(errno.EIO, "pulled out")

    def read_range(self, path, start, length):
        self._read_counted()
        return super().read_range(path, start, length)

    def read(self, path, *, limit_bytes):
        self._read_counted()
        return super().read(path, limit_bytes=limit_bytes)

    def _read_counted(self):
        self.reads_left -= 1
        if self.reads_left < 0:
            raise StickGone(place=str(self.place), problem="EIO")


class OtherSchool:
    """A second school's PC: a key, and what it writes on a stick."""

    def __init__(self, centre, name="Мактаби №2"):
        self.centre, self.key = centre, ec.generate_private_key(ec.SECP384R1())
        self.code = school_invite(name=name, region="Суғд", actor="test", now=centre.clock()).code

    def request(self):
        document = EnrolmentRequest(
            code=self.code,
            root_sha256=self.centre.fingerprint,
            public_key=public_pem(self.key),
            hostname="pc",
            hardware=HARDWARE,
        )
        return self.signed(ENROLMENT, document)

    def signed(self, kind, document):
        return SentFile(kind=kind, content=envelope_seal(payload=canonical_bytes(document), kind=kind, key=self.key))

    def write(self, stick, *files, sender=None):
        reader = public_half(self.centre)
        returns_write(disk=stick, sender=sender or key_id(self.key), files=files, reader=reader)

    @property
    def node(self):
        return Node.objects.get(public_key=public_pem(self.key))


@pytest.fixture
def other(centre, enrolled, stick):
    made = OtherSchool(centre)
    made.write(stick, made.request())
    assert centre.take_in(stick).problems == []
    centre.export(stick)
    return made


def public_half(centre):
    return node_key_load(courier_key_path(centre.disk.keys)).public_key()


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kept(school):
    """Return what a refusal must leave as it is at the school."""
    trusted = json.loads((school.root / "tuf" / "trusted.json").read_bytes())
    # A stick may bring a newer timestamp of the same list.
    del trusted["version"], trusted["expires_at"]
    return {
        "slots": slots_read(school.root),
        "sequence": seen_sequence(trust_root.director_key().public_key()),
        "waiting": parcels_waiting(),
        "releases": sorted(path.name for path in (school.root / "releases").glob("*")),
        "trusted": trusted,
    }


def part_on(stick):
    """Return the longest part of a release on the stick."""
    return max((stick.place / "soro" / layout.BLOBS).rglob("*.0000"), key=lambda path: path.stat().st_size)


def returns_read_of(centre, stick):
    return list(returns_read(source=stick, keys=courier_keys_load(centre.disk.keys)))


def codes(outcome):
    return {failure.step: failure.code for failure in outcome.failures}


def problem_codes(trip):
    return [(problem["kind"], problem["code"]) for problem in trip.problems]


def installed(centre, school, stick, folder):
    release = centre.publish(folder)
    centre.roll_out(release)
    centre.export(stick)
    assert school.bring_in(stick).release_state == "trial"
    trial_commit(root=school.root, now=school.clock())
    return release


# Pulled out.


def test_a_stick_pulled_out_at_any_byte_of_the_centres_writing_goes_on_where_it_was(
    centre, enrolled, stick, package, tmp_path
):
    release = centre.publish(package)
    centre.roll_out(release)
    whole = StickDisk(tmp_path / "whole")
    whole.place.mkdir()
    centre.export(whole)
    total = sum(len(held) for held in tree(whole.place).values())
    public = {path: held for path, held in tree(whole.place).items() if layout.BLOBS in path.parts}

    for cut in range(100, total, total // 12):
        shutil.rmtree(stick.place / "soro")
        with pytest.raises(StickGone):
            centre.export(PulledStick(stick.place, bytes_left=cut))
        assert all(held == public[path] for path, held in tree(stick.place).items() if path in public)
        # Whatever lies there now, the school takes no harm from it.
        outcome = enrolled.bring_in(stick)
        is_installed = slots_read(enrolled.root).current == release.digest
        assert outcome.release_state == ("trial" if is_installed else "")
        assert is_installed == bool(list((enrolled.root / "releases").glob("*")))

    centre.export(stick)
    assert {path: held for path, held in tree(stick.place).items() if layout.BLOBS in path.parts} == public
    enrolled.bring_in(stick)
    assert slots_read(enrolled.root).current == release.digest


def test_writing_on_after_a_cut_does_not_write_again_what_is_there(centre, enrolled, stick, tmp_path):
    folder = package_make(tmp_path / "two")
    (folder / "more.bin").write_bytes(b"m" * 50_000)
    release = centre.publish(folder)
    centre.roll_out(release)
    sizes = sorted(path.stat().st_size for path in folder.iterdir())
    with pytest.raises(StickGone):
        # All of the first two parts, in the index's order, and half of the last.
        centre.export(PulledStick(stick.place, bytes_left=sizes[0] + sizes[1] + 200_000))
    assert centre.export(stick).bytes_written < sum(sizes)
    assert centre.export(stick).bytes_written == 0


def test_a_stick_pulled_out_at_any_read_of_the_schools_is_taken_up_where_it_was(centre, enrolled, stick, package):
    release = centre.publish(package)
    centre.roll_out(release)
    centre.export(stick)
    states = []
    for reads in range(40):
        try:
            outcome = enrolled.bring_in_pulled(PulledStick(stick.place, reads_left=reads))
        except StickGone:
            continue
        states.append(outcome.release_state)
        assert slots_read(enrolled.root).current in (None, release.digest)
        if outcome.release_state == "trial":
            break
        assert outcome.failures
    assert states[-1] == "trial"
    assert len(states) > 3


def test_a_stick_pulled_out_at_any_byte_of_the_schools_writing_loses_and_doubles_nothing(
    centre, enrolled, stick, teacher
):
    for _ in range(3):
        rate(enrolled, teacher)
    for cut in (0, 50, 400, 900, 1500):
        with pytest.raises(StickGone):
            enrolled.write_out_pulled(PulledStick(stick.place, bytes_left=cut))
        centre.take_in(stick)
        assert parcels_waiting() == 3
    enrolled.write_out(stick)
    assert centre.take_in(stick).problems == []
    assert centre.take_in(stick).problems == []
    assert (Rating.objects.count(), ReceivedParcel.objects.count()) == (3, 3)


def test_the_reading_of_a_pulled_stick_keeps_what_it_took_and_says_why_it_ended(
    centre, other, enrolled, stick, teacher
):
    rate(enrolled, teacher)
    enrolled.write_out(stick)
    trip = centre.take_in(PulledStick(stick.place, reads_left=1))
    assert (trip.code, trip.files) == ("stick_gone", 1)
    assert centre.take_in(stick).code == ""
    assert Rating.objects.count() == 1


# Late, early, old, full.


def test_an_older_stick_rolls_nothing_back(centre, enrolled, stick, tmp_path, teacher):
    first = installed(centre, enrolled, stick, package_make(tmp_path / "one", 1))
    old = StickDisk(tmp_path / "old")
    shutil.copytree(stick.place, old.place)
    rate(enrolled, teacher)
    enrolled.write_out(stick)
    centre.take_in(stick)
    centre.clock.tick(hours=1)
    second = installed(centre, enrolled, stick, package_make(tmp_path / "two", 2))
    assert slots_read(enrolled.root).previous == first.digest
    before = kept(enrolled)

    outcome = enrolled.bring_in(old)

    assert (outcome.is_older, codes(outcome)) == (True, {})
    assert outcome.release_version == second.version
    assert kept(enrolled) == before


def test_an_older_stick_is_a_store_of_bytes_for_the_release_that_is_wanted(centre, enrolled, stick, package, tmp_path):
    release = centre.publish(package)
    centre.roll_out(release)
    centre.export(stick)
    old = StickDisk(tmp_path / "old")
    shutil.copytree(stick.place, old.place)
    timestamp_refresh(root=centre.disk.tuf, keys=centre.disk.keys, now=centre.clock())
    centre.export(stick)
    for part in (stick.place / "soro" / "blobs").rglob("*.0000"):
        part.unlink()
    assert codes(enrolled.bring_in(stick)) == {"stick-install": "blob_unavailable"}
    assert slots_read(enrolled.root).current is None

    outcome = enrolled.bring_in(old)

    assert (outcome.is_older, outcome.release_state, codes(outcome)) == (True, "trial", {})


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_sticks_in_any_order_leave_the_school_where_the_newest_leaves_it(
    centre, enrolled, stick, package, teacher, tmp_path, order
):
    sticks = [StickDisk(tmp_path / f"stick-{number}") for number in range(3)]
    for number, copy in enumerate(sticks):
        if number == 1:
            centre.roll_out(centre.publish(package))
        rate(enrolled, teacher)
        enrolled.write_out(stick)
        assert centre.take_in(stick).problems == []
        centre.clock.tick(hours=1)
        centre.export(stick)
        shutil.copytree(stick.place, copy.place)

    outcomes = [enrolled.bring_in(sticks[number]) for number in order]

    assert sum(outcome.ratings_safe for outcome in outcomes) == 3
    assert all(outcome.failures == () for outcome in outcomes)
    assert (parcels_waiting(), seen_sequence(trust_root.director_key().public_key())) == (
        0,
        Directive.objects.get().sequence,
    )
    assert slots_read(enrolled.root).current == Assignment.objects.get().rollout.release.digest


def test_a_stick_past_its_month_brings_receipts_and_installs_nothing(centre, enrolled, stick, package, teacher):
    rate(enrolled, teacher)
    enrolled.write_out(stick)
    centre.take_in(stick)
    centre.roll_out(centre.publish(package))
    centre.export(stick)
    enrolled.clock.tick(days=40)
    outcome = enrolled.bring_in(stick)
    assert codes(outcome) == {"stick-metadata": "metadata_expired"}
    assert (outcome.ratings_safe, slots_read(enrolled.root).current) == (1, None)


def test_a_check_in_that_a_stick_brings_late_changes_nothing(centre, enrolled, stick, tmp_path):
    enrolled.write_out(stick)
    late = tree(stick.place)
    release = installed(centre, enrolled, stick, package_make(tmp_path / "one"))
    enrolled.write_out(stick)
    centre.take_in(stick)
    before = Node.objects.values().get()
    assert (before["running"], Assignment.objects.get().status) == (release.digest, AssignmentStatus.COMMITTED)

    for path, held in late.items():
        if path.name == "check-in.sealed":
            (stick.place / path).write_bytes(held)
    assert centre.take_in(stick).problems == []

    assert Node.objects.values().get() == before
    assert Assignment.objects.get().status == AssignmentStatus.COMMITTED


def test_the_same_batch_by_link_and_by_stick_is_one_batch(centre, enrolled, stick, teacher):
    rate(enrolled, teacher)
    enrolled.write_out(stick)
    node, key = Node.objects.get(), node_key(enrolled.root)
    (sent,) = [file for file in returns_read_of(centre, stick) if file.kind == PARCELS]
    batch = parse(ParcelBatch, envelope_from(node=node, envelope=sent.content, kind=PARCELS))
    receipt = parcels_take_in(node=node, batch=batch, now=centre.clock())
    assert receipt.acknowledged_seq == 1
    centre.take_in(stick)
    assert ReceivedParcel.objects.count() == 1
    letter = letter_for(node=Node.objects.get(), key=trust_root.director_key(), now=centre.clock())
    assert (letter.answer.acknowledged_seq, letter.epoch) == (1, batch.epoch)
    assert key.public_key() == public_key_load(node.public_key)


def test_a_stick_without_room_is_left_as_it_was(centre, enrolled, stick, package, teacher):
    centre.roll_out(centre.publish(package))

    class Crammed(StickDisk):
        def free_bytes(self):
            return 200_000

    before = tree(stick.place)
    with pytest.raises(StickFull) as refused:
        centre.export(Crammed(stick.place))
    assert refused.value.fields["needed_bytes"] > package.joinpath("model.bin").stat().st_size
    assert tree(stick.place) == before


def test_what_no_release_in_force_needs_makes_room(centre, enrolled, stick, package, tmp_path):
    release = installed(centre, enrolled, stick, package)
    part = part_on(stick)
    release_revoke(release=release, disk=centre.disk, actor="t", reason="t", now=centre.clock())
    centre.export(stick)
    assert not part.exists()
    assert not (stick.place / "soro" / layout.index_path(release.digest)).exists()


def test_every_name_on_a_stick_is_one_that_fat32_can_hold(centre, enrolled, stick, package, teacher):
    rate(enrolled, teacher)
    centre.roll_out(centre.publish(package))
    centre.export(stick)
    enrolled.write_out(stick)
    paths = list((stick.place / "soro").rglob("*"))
    assert len(paths) > 15
    assert all(layout.is_name(path.name) and len(str(path.relative_to(stick.place))) < 200 for path in paths)


def test_a_usb_school_never_holds_a_wave(centre, enrolled, stick, package):
    rollout = centre.roll_out(centre.publish(package))
    centre.export(stick)
    wave = rollout.waves.get()
    assert wave_counts(wave, now=timezone.now()).contacted == 0
    enrolled.bring_in(stick)
    enrolled.write_out(stick)
    centre.take_in(stick)
    counts = wave_counts(wave, now=timezone.now())
    # It tries the release, and has had no occasion yet to say how that went.
    assert (counts.contacted, counts.fresh) == (0, 1)
    assert Assignment.objects.get().status == AssignmentStatus.TRIAL


# Swapped, forged, damaged.


def test_another_schools_letter_cannot_be_read(centre, other, enrolled, stick):
    rates = kept(enrolled)
    own = stick.place / "soro" / layout.letter_path(key_id(node_key(enrolled.root)))
    shutil.copy(stick.place / "soro" / layout.letter_path(key_id(other.key)), own)
    assert codes(enrolled.bring_in(stick)) == {"stick-letter": "letter_unreadable"}
    assert kept(enrolled) == rates


def test_a_letter_that_the_director_signed_for_another_reader_is_refused_though_it_opens(
    centre, other, enrolled, stick, package
):
    centre.roll_out(centre.publish(package))
    before = kept(enrolled)
    letter = letter_for(node=other.node, key=trust_root.director_key(), now=centre.clock())
    forged = letter_seal(letter, key=trust_root.director_key(), reader=node_key(enrolled.root).public_key())
    stick.write(layout.letter_path(key_id(node_key(enrolled.root))), [forged])
    assert codes(enrolled.bring_in(stick)) == {"stick-letter": "letter_of_other_reader"}
    assert kept(enrolled) | {"trusted": 0} == before | {"trusted": 0}


def test_a_letter_by_another_director_is_refused(centre, enrolled, stick, tmp_path, teacher):
    rate(enrolled, teacher)
    before = kept(enrolled)
    path, content = node_letter(
        node=Node.objects.get(), key=director_key_create(tmp_path / "other.pem"), now=centre.clock()
    )
    stick.write(path, [content])
    assert codes(enrolled.bring_in(stick)) == {"stick-letter": "bad_signature"}
    assert kept(enrolled) == before


@pytest.mark.parametrize("length", [0, 7, 60, 500])
def test_a_truncated_letter_is_refused(centre, enrolled, stick, teacher, length):
    rate(enrolled, teacher)
    before = kept(enrolled)
    path = stick.place / "soro" / layout.letter_path(key_id(node_key(enrolled.root)))
    path.write_bytes(path.read_bytes()[:length])
    assert codes(enrolled.bring_in(stick)) == {"stick-letter": "letter_unreadable"}
    assert kept(enrolled) == before


def test_a_tampered_release_on_a_stick_installs_nothing(centre, enrolled, stick, package):
    centre.roll_out(centre.publish(package))
    centre.export(stick)
    part = part_on(stick)
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    assert codes(enrolled.bring_in(stick)) == {"stick-install": "chunk_mismatch"}
    assert slots_read(enrolled.root).current is None
    assert not list((enrolled.root / "releases").glob("*"))


def test_metadata_of_another_centre_is_refused_and_receipts_still_count(centre, enrolled, stick, teacher, tmp_path):
    rate(enrolled, teacher)
    enrolled.write_out(stick)
    centre.take_in(stick)
    centre.export(stick)
    repository_create(root=tmp_path / "tuf2", keys=tmp_path / "keys2", now=centre.clock())
    for name, content in metadata_read(root=tmp_path / "tuf2"):
        stick.write(f"{layout.METADATA}/{name}", [content])
    outcome = enrolled.bring_in(stick)
    assert codes(outcome)["stick-metadata"] in ("metadata_unsigned", "metadata_rolled_back")
    assert outcome.ratings_safe == 1


def test_a_file_of_another_kind_or_in_another_folder_is_judged_by_what_is_in_it(
    centre, other, enrolled, stick, teacher
):
    rate(enrolled, teacher)
    enrolled.write_out(stick)
    own = stick.place / "soro" / layout.return_folder(key_id(node_key(enrolled.root)))
    (own / "check-in.sealed").write_bytes((own / "parcels-0001.sealed").read_bytes())
    theirs = stick.place / "soro" / layout.return_folder(key_id(other.key))
    (own / "parcels-0001.sealed").rename(theirs / "parcels-0001.sealed")
    trip = centre.take_in(stick)
    assert problem_codes(trip) == [("check-in", "letter_unreadable")]
    assert Rating.objects.get().node.school.name == "Мактаби №1"


def test_a_parcel_in_another_nodes_name_is_refused(centre, other, enrolled, stick):
    batch = ParcelBatch(node_id=enrolment_read(enrolled.root).node_id, epoch="e", parcels=(rating_parcel(1),))
    other.write(stick, other.signed(PARCELS, batch))
    assert problem_codes(centre.take_in(stick)) == [("parcels", "bad_signature")]
    assert ReceivedParcel.objects.count() == 0


def test_a_check_in_in_another_nodes_name_is_refused(centre, other, enrolled, stick):
    before = list(Node.objects.order_by("pk").values())
    said = check_in_of(SimulatedSchool(None, ""))
    node_id = enrolment_read(enrolled.root).node_id
    checkin = replace(said, node_id=node_id, epoch="e", running="f" * 64, number=99)
    other.write(stick, other.signed(CHECK_IN, checkin))
    assert problem_codes(centre.take_in(stick)) == [("check-in", "bad_signature")]
    assert list(Node.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("kind", ["enrolment", "check-in", "parcels", "update"])
def test_noise_that_is_well_sealed_is_noted_and_takes_nothing(centre, other, enrolled, stick, kind):
    enrolled.write_out(stick)
    before = list(Node.objects.order_by("pk").values("pk", "status", "public_key", "school"))
    for content in (b"", b"{}", b"[" * 100_000, b"\x00\xff", b'{"payload":"!"}'):
        other.write(stick, SentFile(kind=kind, content=content))
        trip = centre.take_in(stick)
        assert [(problem["kind"], problem["school"]) for problem in trip.problems] == [(kind, "Мактаби №2")]
        assert trip.code == ""
    assert (ReceivedParcel.objects.count(), Update.objects.count(), RefusedRequest.objects.count()) == (0, 0, 0)
    assert list(Node.objects.order_by("pk").values("pk", "status", "public_key", "school")) == before


def test_a_bomb_on_a_stick_is_refused(centre, other, stick):
    other.write(stick, SentFile(kind=PARCELS, content=b"\0" * (layout.MAX_LETTER_BYTES + 1)))
    assert problem_codes(centre.take_in(stick)) == [("parcels", "letter_too_long")]
    assert ReceivedParcel.objects.count() == 0


@pytest.mark.parametrize(("move", "status"), [(node_suspend, "suspended"), (node_revoke, "revoked")])
def test_a_node_that_may_not_sync_sends_nothing_and_is_told(centre, enrolled, stick, teacher, move, status):
    rate(enrolled, teacher)
    enrolled.write_out(stick)
    move(node=Node.objects.get(), actor="a", reason="r", now=centre.clock())
    assert {code for _kind, code in problem_codes(centre.take_in(stick))} == {"node_not_active"}
    assert ReceivedParcel.objects.count() == 0
    centre.export(stick)
    outcome = enrolled.bring_in(stick)
    assert (outcome.refusal, outcome.ratings_safe, parcels_waiting()) == ("node_not_active", 0, 1)


# Enrolment.


def test_an_unknown_claim_code_is_answered_by_stick_and_a_right_one_then_enrols(centre, school, stick):
    claim = centre.invite("Мактаби №1")
    centre.export(stick)
    school.write_out(stick, type(claim)(code="00000-00000", root_sha256=claim.root_sha256))
    assert problem_codes(centre.take_in(stick)) == [("enrolment", "claim_code_unknown")]
    centre.export(stick)
    assert school.bring_in(stick).refusal == "claim_code_unknown"
    assert not (school.root / "node.json").exists()

    school.write_out(stick, claim)
    assert centre.take_in(stick).problems == []
    centre.export(stick)
    assert school.bring_in(stick).school == "Мактаби №1"
    assert RefusedRequest.objects.count() == 0


def test_a_stick_of_another_centre_enrols_nobody(centre, school, stick):
    claim = centre.invite("Мактаби №1")
    centre.export(stick)
    with pytest.raises(WrongRoot):
        school.write_out(stick, type(claim)(code=claim.code, root_sha256="0" * 64))
    assert not (school.root / "claim.json").exists()
    assert not (school.root / "tuf").exists()
    assert not (stick.place / "soro" / layout.RETURNS).exists()


def test_an_answer_that_the_director_has_not_signed_enrols_nobody(centre, school, stick, tmp_path):
    claim = centre.invite("Мактаби №1")
    centre.export(stick)
    school.write_out(stick, claim)
    centre.take_in(stick)
    centre.export(stick)
    path, content = node_letter(
        node=Node.objects.get(), key=director_key_create(tmp_path / "other.pem"), now=centre.clock()
    )
    stick.write(path, [content])
    with pytest.raises(Exception, match="bad_signature"):
        school.bring_in(stick)
    assert not (school.root / "node.json").exists()
    centre.export(stick)
    assert school.bring_in(stick).school == "Мактаби №1"


def test_a_pc_without_a_claim_writes_nothing(centre, school, stick):
    centre.export(stick)
    with pytest.raises(NotEnrolled):
        school.write_out(stick)
    assert not (stick.place / "soro" / layout.RETURNS).exists()
    assert StickTrip.objects.get().error_code == "not_enrolled"


def test_a_stick_that_nobody_prepared_is_not_written_to(school, stick, db):
    with pytest.raises(StickUnknown):
        school.bring_in(stick)
    assert list(stick.place.iterdir()) == []


# By ZIP file.


def zipped(folder, *, prefix=""):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            archive.write(path, prefix + path.relative_to(folder).as_posix())
    return packed


@pytest.mark.parametrize("prefix", ["", "флешка/"])
def test_a_zip_file_of_a_stick_is_as_good_as_the_stick(centre, enrolled, stick, teacher, prefix, tmp_path):
    rate(enrolled, teacher)
    enrolled.write_out(stick)
    packed = zipped(stick.place, prefix=prefix)
    (tmp_path / "stick.zip").write_bytes(packed.getvalue())
    with returns_open(tmp_path / "stick.zip") as source:
        assert centre.take_in(source).problems == []
    assert Rating.objects.count() == 1


def test_a_zip_file_leads_nowhere_and_bursts_nothing(centre, enrolled, stick, tmp_path):
    sender = key_id(node_key(enrolled.root))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../soro/../../etc/evil.sealed", b"x")
        archive.writestr(f"soro/returns/../../{sender}/parcels-0001.sealed", b"x")
        archive.writestr(f"/soro/{layout.return_folder(sender)}/../parcels-0001.sealed", b"x")
        archive.writestr(f"soro/{layout.return_folder(sender)}/parcels-0002.sealed", b"\0" * 50_000_000)
    before = set(tmp_path.rglob("*"))
    with returns_unzip(packed) as source:
        trip = centre.take_in(source)
    assert problem_codes(trip) == [("parcels", "letter_too_long")]
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"words"])
def test_what_is_no_zip_file_is_refused(centre, content):
    with pytest.raises(StickUnknown), returns_unzip(io.BytesIO(content)):
        pass


def test_every_parcel_of_many_goes_on_one_stick(centre, enrolled, stick, teacher):
    for number in range(230):
        Parcel.objects.create(
            event_id=f"e{number}",
            record_id=f"r{number}",
            revision=1,
            kind="tombstone",
            body={},
            appended_at=centre.clock(),
        )
    enrolled.write_out(stick)
    assert len([file for file in returns_read_of(centre, stick) if file.kind == PARCELS]) == 3
    assert centre.take_in(stick).problems == []
    centre.export(stick)
    assert enrolled.bring_in(stick).ratings_safe == 230
    assert parcels_due(limit=1) == ()

"""A contact with a centre over real HTTP: what arrives, what is refused, and what a lost answer costs."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from federation.inference.package import FORMAT
from federation.trust.envelopes import ROUND_PLAN, BadSignature, envelope_seal
from federation.trust.errors import WrongRoot
from federation.trust.keys import director_key_create
from federation.trust.release_bytes import index_digest
from federation.wire.canonical import canonical_bytes
from federation.wire.releases import InstallState, UpdateReceipt
from federation.wire.sheet import Sheet
from node.installed.state import Phase, slots_read
from node.outbox.models import Parcel
from node.outbox.services import epoch_name, parcels_waiting
from node.ratings.services import Opinion, rating_record
from node.rounds.models import LocalUpdate, Plan
from node.rounds.services import plan_receive, update_path, update_receive_receipt
from node.sync.enrol import enrolment_read, sheet_enrol
from node.sync.errors import (
    AlreadyEnrolled,
    CentreRefused,
    CentreUnreachable,
    CentreWithoutAddress,
    ContactUnderWay,
    NotEnrolled,
)
from node.sync.locks import stick_alone
from node.sync.models import SeenAssignment, SyncLog
from node.sync.services import Contact, ContactTimes
from node.sync.transport import http_client
from tests.node.conftest import NOW, answer_make
from tests.simulators import round_plan

pytestmark = pytest.mark.django_db
NO_WAITING = ContactTimes(trial_seconds=0, poll_seconds=0.01, delivery_poll_seconds=0.01)


def enrol(root, centre, code="code123456", fingerprint=None):
    sheet = Sheet(code=code, root_sha256=fingerprint or centre.fingerprint, authority_sha256="", address=centre.url)
    return sheet_enrol(root=root, sheet=sheet).enrolment


def contact(root):
    http, counter = http_client()
    with http:
        return Contact(root=root, http=http, counter=counter, clock=timezone.now, times=NO_WAITING).hold()


def rate(teacher, root, stars=2, **changes):
    opinion = Opinion(stars=stars, correction="Душанбе.")
    return rating_record(answer=answer_make(**changes), teacher=teacher, opinion=opinion, now=NOW, root=root)


def package(tmp_path, name="base"):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "card.json").write_text(name)
    return folder


def code_of(step):
    return SyncLog.objects.filter(step=step).latest("pk").error_code


def test_a_wrong_code_or_a_wrong_fingerprint_does_not_enrol(root, centre):
    centre.claim_codes["CODE123456"] = "Мактаби №1"
    with pytest.raises(CentreRefused, match="claim_code_unknown"):
        enrol(root, centre, code="WRONG12345")
    with pytest.raises(WrongRoot):
        enrol(root, centre, fingerprint="0" * 64)
    with pytest.raises(NotEnrolled):
        enrolment_read(root)
    assert not (root / "tuf").exists()


def test_an_enrolment_whose_answer_was_lost_can_be_repeated_and_a_second_one_is_refused(school, centre):
    before = (school / "node.json").read_bytes()
    with pytest.raises(AlreadyEnrolled):
        enrol(school, centre)
    (school / "node.json").unlink()
    enrol(school, centre)
    assert (school / "node.json").read_bytes() == before


def test_only_the_owner_may_read_the_private_key_and_the_enrolment(school):
    for path in (school / "keys" / "node.pem", school / "node.json"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_contact_sends_every_parcel_and_none_twice(school, centre, teacher):
    rate(teacher, school)
    report = contact(school)
    assert tuple(report.failures) == ()
    assert parcels_waiting() == 0
    contact(school)
    ((_, parcels),) = centre.parcels.items()
    assert len(parcels) == 1
    assert centre.requests.count("POST /api/v1/parcels") == 1


def test_a_session_serves_the_next_contact_and_one_that_is_over_is_opened_anew(school, centre):
    contact(school)
    token = school / "keys" / "session.token"
    assert token.stat().st_mode & 0o077 == 0
    contact(school)
    assert centre.requests.count("POST /api/v1/sessions") == 1
    token.write_text("out of date")
    assert tuple(contact(school).failures) == ()
    assert centre.requests.count("POST /api/v1/sessions") == 2
    assert code_of("check-in") == ""


def test_a_contact_in_which_nothing_is_new_is_one_request(school, centre, tmp_path):
    index = centre.publish(package(tmp_path))
    centre.assign(node_id=enrolment_read(school).node_id, sequence=1, release=index_digest(index))
    contact(school)
    centre.requests.clear()
    assert tuple(contact(school).failures) == ()
    assert centre.requests == ["POST /api/v1/check-ins"]
    centre.withdraw(index_digest(index))
    contact(school)
    assert "GET /tuf/metadata/timestamp.json" in centre.requests


def test_a_restored_database_sends_again_what_the_centre_has_under_other_numbers(school, centre, teacher):
    rate(teacher, school)
    before = epoch_name()
    contact(school)
    # The backup was made before the rating: the number 1 is given once more, to another event.
    Parcel.objects.update(event_id="another", is_acknowledged=False)
    contact(school)
    assert epoch_name() != before
    assert parcels_waiting() == 0
    assert [[parcel.event_id for parcel in kept.values()][-1] for kept in centre.parcels.values()][-1] == "another"


def test_a_receipt_of_another_node_marks_nothing_as_safe(school, centre, teacher):
    rate(teacher, school)
    centre.receipt_node_id = "another"
    assert tuple(contact(school).failures) == ("parcels",)
    assert code_of("parcels") == "malformed_document"
    centre.parcels.clear()
    contact(school)
    assert parcels_waiting() == 1


def test_a_lost_receipt_neither_loses_nor_doubles_a_rating(school, centre, teacher):
    rate(teacher, school)
    rate(teacher, school, stars=5)
    centre.receipts_to_lose = 2
    assert tuple(contact(school).failures) == ("parcels",)
    assert code_of("parcels") == "centre_unreachable"
    assert parcels_waiting() == 2
    assert tuple(contact(school).failures) == ()
    assert parcels_waiting() == 0
    ((_, parcels),) = centre.parcels.items()
    assert [parcel.body["stars"] for parcel in parcels.values()] == [2, 5]


def test_a_contact_without_a_link_says_so_and_forgets_no_parcel(school, centre, teacher):
    rate(teacher, school)
    centre.stop()
    with pytest.raises(CentreUnreachable):
        contact(school)
    assert parcels_waiting() == 1
    assert code_of("time") == "centre_unreachable"


def test_each_step_is_logged_with_its_bytes(school, centre, teacher):
    rate(teacher, school)
    report = contact(school)
    steps = {row.step: row for row in SyncLog.objects.all()}
    assert list(steps) == ["time", "session", "check-in", "parcels", "metadata", "update"]
    assert sum(row.bytes_up for row in steps.values()) == report.bytes_up
    assert sum(row.bytes_down for row in steps.values()) == report.bytes_down
    assert steps["parcels"].bytes_up > 300
    assert steps["metadata"].bytes_down > 1000


def test_an_assigned_release_is_fetched_tried_and_reported(school, centre, tmp_path):
    index = centre.publish(package(tmp_path))
    centre.assign(node_id=enrolment_read(school).node_id, sequence=3, release=index_digest(index))
    assert tuple(contact(school).failures) == ()
    (report,) = centre.check_ins[-1].installs
    assert (report.release, report.sequence) == (index_digest(index), 3)
    # The package is no model, so the self-test's child process refuses it and nothing runs.
    assert report.state is InstallState.REVERTED
    assert slots_read(school).phase is Phase.EMPTY
    assert report.bytes_fetched == len(b"base")
    assert SeenAssignment.objects.get().sequence == 3


def test_an_assignment_with_a_lower_sequence_is_refused(school, centre, tmp_path):
    index = centre.publish(package(tmp_path))
    node_id = enrolment_read(school).node_id
    centre.assign(node_id=node_id, sequence=5, release=None, reason="newest_runs")
    contact(school)
    centre.assign(node_id=node_id, sequence=4, release=index_digest(index))
    assert tuple(contact(school).failures) == ("assignment",)
    assert code_of("assignment") == "assignment_rolled_back"
    assert SeenAssignment.objects.get().sequence == 5
    assert not (school / "releases").exists()


def test_an_assignment_for_another_node_is_refused(school, centre, tmp_path):
    index = centre.publish(package(tmp_path))
    centre.assign(node_id="another", sequence=9, release=index_digest(index))
    contact(school)
    assert code_of("assignment") == "assignment_of_other_node"
    assert not SeenAssignment.objects.exists()
    assert not (school / "releases").exists()


def test_an_assignment_that_the_director_did_not_sign_is_refused(school, centre, tmp_path):
    index = centre.publish(package(tmp_path))
    centre.director = director_key_create(tmp_path / "stranger.pem")
    centre.assign(node_id=enrolment_read(school).node_id, sequence=1, release=index_digest(index))
    contact(school)
    assert code_of("assignment") == "bad_signature"
    assert not (school / "releases").exists()


def test_a_withdrawn_release_is_not_installed(school, centre, tmp_path):
    digest = index_digest(centre.publish(package(tmp_path)))
    centre.withdraw(digest)
    centre.assign(node_id=enrolment_read(school).node_id, sequence=1, release=digest)
    contact(school)
    assert code_of("assignment") == "release_not_trusted"
    assert not (school / "releases").exists()


def test_a_release_with_a_tampered_byte_is_reported_and_not_installed(school, centre, tmp_path):
    index = centre.publish(package(tmp_path))
    (centre.blobs / index.files[0].sha256).write_bytes(b"bAse")
    centre.assign(node_id=enrolment_read(school).node_id, sequence=1, release=index_digest(index))
    contact(school)
    (report,) = centre.check_ins[-1].installs
    assert (report.state, report.error_code) == (InstallState.FAILED_VERIFY, "chunk_mismatch")
    assert not (school / "releases" / index_digest(index)).exists()


def test_a_release_that_this_pc_cannot_run_is_reported_with_the_reason_and_its_weights_are_not_fetched(
    school, centre, tmp_path
):
    folder = package(tmp_path)
    (folder / "card.json").write_text(json.dumps({"format": FORMAT + 1}))
    (folder / "model.onnx.data").write_bytes(b"weights" * 100_000)
    index = centre.publish(folder)
    centre.assign(node_id=enrolment_read(school).node_id, sequence=1, release=index_digest(index))
    assert contact(school).bytes_down < 100_000
    assert code_of("install") == "engine_too_old"
    (report,) = centre.check_ins[-1].installs
    assert (report.state, report.error_code) == (InstallState.SKIPPED, "engine_too_old")
    assert not (school / "releases").exists()
    assert tuple(contact(school).failures) == ()


def test_metadata_that_cannot_be_fetched_holds_up_no_correction(school, centre, teacher):
    rate(teacher, school)
    for path in (centre.tuf / "metadata").glob("*.snapshot.json"):
        path.unlink()
    assert tuple(contact(school).failures) == ("metadata",)
    assert parcels_waiting() == 0


def test_a_plan_is_kept_once_and_as_it_was_signed(school, centre):
    centre.plan(round_plan())
    contact(school)
    contact(school)
    plan = Plan.objects.get()
    assert bytes(plan.envelope) == centre.round_plan


def test_a_plan_that_the_director_did_not_sign_is_refused_and_not_kept(school, centre, tmp_path):
    stranger = director_key_create(tmp_path / "stranger.pem")
    sealed = envelope_seal(payload=canonical_bytes(round_plan()), kind=ROUND_PLAN, key=stranger)
    with pytest.raises(BadSignature):
        plan_receive(envelope=sealed, director_key=centre.director.public_key(), now=NOW)
    assert not Plan.objects.exists()


def test_a_receipt_for_other_bytes_drops_no_update(school, centre):
    centre.plan(round_plan())
    contact(school)
    update = LocalUpdate.objects.create(
        plan=Plan.objects.get(), counter=1, status="ready", sha256="a" * 64, started_at=NOW
    )
    file = update_path(root=school, update=update)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"update")
    receipt = UpdateReceipt(plan_id="plan-1", update_sha256="b" * 64, accepted=True, code="")
    assert not update_receive_receipt(receipt=receipt, root=school)
    update.refresh_from_db()
    assert (update.status, file.exists()) == ("ready", True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("is_accepted", "status"), [(True, "accepted"), (False, "refused")])
def test_the_centres_receipt_settles_an_update(school, centre, is_accepted, status):
    centre.plan(round_plan())
    contact(school)
    update = LocalUpdate.objects.create(
        plan=Plan.objects.get(), counter=1, status="ready", sha256="a" * 64, started_at=NOW
    )
    file = update_path(root=school, update=update)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"update")
    centre.update_receipts = (UpdateReceipt(plan_id="plan-1", update_sha256="a" * 64, accepted=is_accepted, code="x"),)
    contact(school)
    update.refresh_from_db()
    assert (update.status, update.error_code, file.exists()) == (status, "x", False)


def test_a_check_in_says_what_runs_what_waits_and_what_the_pc_can_do(school, centre, teacher):
    rate(teacher, school)
    contact(school)
    check_in = centre.check_ins[-1]
    assert (check_in.running, check_in.outbox_depth) == (None, 1)
    assert check_in.disk_free_bytes > 0
    assert check_in.sent_at - datetime.now(UTC) < timedelta(minutes=1)
    assert "chat" not in check_in.capabilities
    assert check_in.hardware.memory_bytes > 50_000_000
    assert check_in.variants == {}


def test_a_node_that_was_revoked_is_refused_by_name(school, centre):
    centre.node_keys.clear()
    with pytest.raises(CentreRefused, match="node_unknown"):
        contact(school)
    assert code_of("session") == "centre_refused"


def test_a_contact_lets_go_of_its_download_while_a_stick_is_in_hand(school, centre, tmp_path):
    index = centre.publish(package(tmp_path))
    centre.assign(node_id=enrolment_read(school).node_id, sequence=3, release=index_digest(index))
    with stick_alone(school):
        assert {step: error.code for step, error in contact(school).failures.items()} == {"install": "fetch_stopped"}
    assert not list((school / "releases").glob("*"))
    assert tuple(contact(school).failures) == ()
    assert centre.check_ins[-1].installs[0].state is InstallState.REVERTED


def test_a_second_stick_is_told_to_wait(school):
    with stick_alone(school), pytest.raises(ContactUnderWay), stick_alone(school, sleep=lambda _seconds: None):
        pass
    with stick_alone(school):
        pass


def test_a_school_without_an_address_calls_nobody(school, centre):
    enrolment = enrolment_read(school)
    (school / "node.json").write_bytes(canonical_bytes(replace(enrolment, central_url="")))
    before = list(centre.requests)
    with pytest.raises(CentreWithoutAddress):
        contact(school)
    assert centre.requests == before


def test_each_check_in_has_a_higher_number(school, centre):
    contact(school)
    contact(school)
    numbers = [check_in.number for check_in in centre.check_ins]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 2

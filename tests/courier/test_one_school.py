"""A school that never has a link: it enrols, updates, returns ratings and gets receipts by stick alone."""

from central.feedback.models import Rating
from central.rollouts.models import Assignment, AssignmentStatus
from central.schools.models import Node, NodeStatus
from federation.trust.release_bytes import index_parse, index_read
from node.installed.services import trial_commit
from node.installed.state import slots_read
from node.outbox.services import batches_due, parcels_waiting
from node.sync.enrol import enrolment_read
from tests.courier.conftest import rate


def test_a_school_enrols_by_a_request_on_one_stick_and_the_answer_on_a_later_one(centre, school, stick):
    claim = centre.invite("Мактаби №1")
    centre.export(stick)

    assert school.write_out(stick, claim).is_enrolment
    assert not (school.root / "node.json").exists()
    assert centre.take_in(stick).problems == []
    assert Node.objects.get().status == NodeStatus.ACTIVE
    centre.export(stick)
    outcome = school.bring_in(stick)

    assert (outcome.school, outcome.failures) == ("Мактаби №1", ())
    assert enrolment_read(school.root).node_id == str(Node.objects.get().pk)
    assert (enrolment_read(school.root).central_url, outcome.address) == ("", "")


def test_ratings_go_out_and_receipts_come_back(centre, enrolled, stick, teacher):
    rate(enrolled, teacher)
    rate(enrolled, teacher, stars=5)

    assert enrolled.write_out(stick).ratings == 2
    assert centre.take_in(stick).problems == []
    assert Rating.objects.count() == 2
    assert parcels_waiting() == 2
    centre.export(stick)
    outcome = enrolled.bring_in(stick)

    assert (outcome.ratings_safe, outcome.failures) == (2, ())
    assert parcels_waiting() == 0


def test_more_ratings_than_one_batch_holds_all_go_out_on_one_stick(centre, enrolled, stick, teacher):
    long_answer = "Душанбе. " * 400
    for _ in range(50):
        rate(enrolled, teacher, correction=long_answer)
    batches = list(batches_due(limit=1000, batch_limit=1000))
    assert len(batches) > 1

    assert enrolled.write_out(stick).ratings == 50
    assert centre.take_in(stick).problems == []
    assert Rating.objects.count() == 50


def test_a_release_is_installed_and_its_report_comes_back(centre, enrolled, stick, package):
    release = centre.publish(package)
    centre.roll_out(release)
    trip = centre.export(stick)
    assert trip.bytes_written == sum(entry.size_bytes for entry in index_read_of(release).files)
    assert Assignment.objects.get().status == AssignmentStatus.PENDING

    outcome = enrolled.bring_in(stick)
    assert (outcome.release_version, outcome.release_state, outcome.failures) == (release.version, "trial", ())
    assert trial_commit(root=enrolled.root, now=enrolled.clock())
    enrolled.write_out(stick)
    assert centre.take_in(stick).problems == []

    assert Assignment.objects.get().status == AssignmentStatus.COMMITTED
    assert Node.objects.get().running == release.digest == slots_read(enrolled.root).current
    assert index_read(enrolled.root / "releases" / release.digest).version == release.version


def index_read_of(release):
    return index_parse(bytes(release.index_bytes))

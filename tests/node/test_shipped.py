"""In which release an update of this school shipped: told by what lies on its own disk, however that came."""

import random
import shutil
import threading

import pytest
from django.utils import timezone

from federation.trust.release_bytes import index_build, index_digest
from federation.wire.canonical import canonical_bytes, sha256_hex
from federation.wire.contributions import LIST_NAME, Part, list_write, part_starts
from federation.wire.releases import InstallState, ReleaseKind
from node.installed.models import InstallRecord
from node.rounds.models import LocalUpdate, Plan
from node.rounds.services import updates_find_shipped
from node.sync.dark import neighbours_install
from node.sync.enrol import enrolment_read
from node.sync.loop import contacts_hold
from tests.node.conftest import NOW
from tests.node.test_relay import NO_WAITING, Neighbour, blobs_asked_of, contact, relays

pytestmark = pytest.mark.django_db


def digest_of(word):
    return sha256_hex(word.encode())


def learnt(word, *, status="accepted"):
    """Let this school have learnt an update of which the centre has said that it is safe."""
    counter = LocalUpdate.objects.count() + 1
    plan = Plan.objects.create(plan_id=word, base="b" * 64, envelope=b"", issued_at=NOW, closes_at=NOW, received_at=NOW)
    LocalUpdate.objects.create(plan=plan, counter=counter, status=status, sha256=digest_of(word), started_at=NOW)


def versions():
    return dict(LocalUpdate.objects.order_by("counter").values_list("plan", "release_version"))


def part(version, *words):
    others = [digest_of(f"{version}/{number}") for number in range(50)]
    return Part(version=version, updates=(*others, *map(digest_of, words)))


def laid(root, name, *parts):
    """Let a release with a list of these parts lie here."""
    folder = root / "releases" / name
    folder.mkdir(parents=True)
    (folder / LIST_NAME).write_bytes(list_write(parts))
    return folder


def signed_before(folder, version, *words):
    """Return the index of an adapter from before there were lists."""
    fields = {"kind": ReleaseKind.ADAPTER, "version": version, "title": "t", "base": "b" * 64}
    return index_build(package=folder, contributions=tuple(map(digest_of, words)), **fields)


def test_a_school_that_skipped_versions_learns_for_each_update_which_one_it_shipped_in(root):
    for word in ("first", "second", "late"):
        learnt(word)
    laid(root, "d", part(3, "first"), part(5, "second"), part(9))
    assert updates_find_shipped(root=root) == 2
    assert versions() == {"first": 3, "second": 5, "late": 0}


def test_what_a_school_once_knew_it_knows_when_the_release_has_left_its_disk(root):
    learnt("first")
    folder = laid(root, "d", part(3, "first"))
    updates_find_shipped(root=root)
    shutil.rmtree(folder)
    laid(root, "e", part(8))
    assert updates_find_shipped(root=root) == 0
    assert versions() == {"first": 3}


def test_the_index_of_an_adapter_from_before_lists_is_read_and_the_lowest_version_counts(root, tmp_path):
    for word in ("first", "second", "third"):
        learnt(word)
    (tmp_path / "empty").mkdir()
    (root / "tuf" / "indexes").mkdir(parents=True)
    for version, words in ((4, ("first", "second")), (2, ("first",))):
        index = signed_before(tmp_path / "empty", version, *words)
        (root / "tuf" / "indexes" / f"{index_digest(index)}.json").write_bytes(canonical_bytes(index))
    laid(root, "d", part(4, "second"), part(7, "third"))
    (root / "releases" / "d" / "index.json").write_text('{"contributions": ["' + digest_of("third"))
    assert updates_find_shipped(root=root) == 3
    assert versions() == {"first": 2, "second": 4, "third": 7}


@pytest.mark.parametrize("status", ["refused", "training", "failed"])
def test_an_update_that_no_round_counts_has_shipped_in_nothing(root, status):
    learnt("first", status=status)
    laid(root, "d", part(3, "first"))
    assert updates_find_shipped(root=root) == 0
    assert versions() == {"first": 0}


def test_a_damaged_list_says_nothing_and_holds_up_no_other(root):
    learnt("first")
    folder = laid(root, "a", part(2, "first"))
    (folder / LIST_NAME).write_bytes((folder / LIST_NAME).read_bytes()[:-1])
    laid(root, "b", part(3, "first"))
    updates_find_shipped(root=root)
    assert versions() == {"first": 3}


def test_a_database_that_was_put_back_learns_it_again_as_the_node_starts(root):
    learnt("first")
    laid(root, "d", part(3, "first"))
    updates_find_shipped(root=root)
    LocalUpdate.objects.update(release_version=0)
    contacts_hold(root=root, clock=timezone.now, rng=random.Random(1), stopping=Ended(), times=NO_WAITING)
    assert versions() == {"first": 3}


class Ended(threading.Event):
    """Set from the beginning: nothing is held."""

    def is_set(self):
        return True


@pytest.fixture
def adapter(centre, tmp_path):
    """An adapter whose list has an update of the school in a version that it skipped, on a base that is there."""

    def publish(version, *parts):
        folder = tmp_path / f"adapter-{version}"
        folder.mkdir()
        (folder / "adapter.bin").write_bytes(random.Random(version).randbytes(9000))
        (folder / LIST_NAME).write_bytes(list_write(parts))
        starts = {LIST_NAME: part_starts((folder / LIST_NAME).read_bytes())}
        return centre.publish(folder, version=version, base=index_digest(package), tensors=starts)

    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "card.json").write_text("{}")
    package = centre.publish(tmp_path / "base")
    publish.base = package
    return publish


def assign(centre, school, index, sequence=1):
    centre.assign(node_id=enrolment_read(school).node_id, sequence=sequence, release=index_digest(index))


def test_a_school_dark_for_a_year_learns_it_from_the_first_adapter_that_comes_also_of_another_season(
    school, centre, adapter
):
    learnt("spring")
    learnt("autumn")
    assign(centre, school, adapter(30, part(4, "spring"), part(29), part(30, "autumn")))
    assert tuple(contact(school).failures) == ()
    # The package is no model: its self-test refuses it and it leaves the disk, and what its list says is known.
    assert InstallRecord.objects.get().status == "reverted"
    assert versions() == {"spring": 4, "autumn": 30}


def test_a_list_that_did_not_come_is_asked_for_again_at_the_next_contact(school, centre, adapter):
    learnt("first")
    index = adapter(4, part(4, "first"))
    (listed,) = (entry.sha256 for entry in index.files if entry.path == LIST_NAME)
    content = (centre.blobs / listed).read_bytes()
    (centre.blobs / listed).unlink()
    assign(centre, school, index)
    assert "install" in contact(school).failures
    assert versions() == {"first": 0}
    (centre.blobs / listed).write_bytes(content)
    centre.requests.clear()
    assert tuple(contact(school).failures) == ()
    assert versions() == {"first": 4}
    assert [asked.rpartition("/")[2] for asked in blobs_asked_of(centre)] == [listed]


def test_a_list_of_other_bytes_than_the_index_says_is_not_believed(school, centre, adapter):
    learnt("first")
    index = adapter(4, part(4))
    (listed,) = (entry.sha256 for entry in index.files if entry.path == LIST_NAME)
    forged = list_write([Part(version=4, updates=(*part(4).updates[:-1], digest_of("first")))])
    assert len(forged) == len((centre.blobs / listed).read_bytes())
    (centre.blobs / listed).write_bytes(forged)
    assign(centre, school, index)
    contact(school)
    assert InstallRecord.objects.get().status == "failed_verify"
    assert versions() == {"first": 0}


def test_a_pc_that_has_its_release_from_a_neighbour_alone_learns_it_too(school, centre, adapter, tmp_path):
    learnt("first")
    neighbour, index = Neighbour(tmp_path / "neighbour", centre), adapter(4, part(3, "first"), part(4))
    neighbour.fetch(adapter.base)
    neighbour.fetch(index)
    assign(centre, school, index)
    for entry in (*adapter.base.files, *index.files):
        (centre.blobs / entry.sha256).unlink()
    assert "install" in contact(school).failures
    centre.stop()
    with relays(school, neighbour.root):
        assert neighbours_install(root=school, clock=timezone.now) is InstallState.REVERTED
    assert versions() == {"first": 3}


def test_a_contact_in_which_nothing_is_new_asks_for_no_list(school, centre, adapter):
    learnt("first")
    assign(centre, school, adapter(4, part(4)))
    contact(school)
    contact(school)
    centre.requests.clear()
    contact(school)
    assert [asked.split()[1] for asked in centre.requests] == ["/api/v1/check-ins"]
    assert versions() == {"first": 0}

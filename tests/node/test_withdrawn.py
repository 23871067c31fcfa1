"""A running release that is no more in the centre's list: known from verified metadata, told, never switched off."""

import shutil

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from federation.trust.release_bytes import INDEX_NAME, index_digest
from federation.trust.tuf_client import Trusted, trusted_read
from federation.wire.canonical import canonical_bytes
from node.installed.services import active_release, releases_beside, running_is_withdrawn
from node.installed.state import Phase, Slots, slots_read, slots_write
from node.installed.withdrawn import is_withdrawn
from node.management.commands.status import _words
from node.status import status_read
from node.sync.enrol import enrolment_read
from tests.node.conftest import NOW
from tests.node.faults import School, package_make, school_expect_sound
from tests.node.test_sync import contact, enrol, package
from tests.real_centre import real_centre

pytestmark = pytest.mark.django_db
SENTENCES = {
    "tg": "Вазорат ин моделро бозпас гирифтааст",
    "ru": "Министерство отозвало эту модель",
    "en": "The ministry has withdrawn this model",
}


def laid(root, centre, tmp_path, *, version, base=None):
    """Publish a release, lay it on the school's disk, and return its index and digest."""
    folder = package(tmp_path, f"release {version}")
    index = centre.publish(folder, version=version, base=base)
    digest = index_digest(index)
    shutil.copytree(folder, root / "releases" / digest)
    (root / "releases" / digest / INDEX_NAME).write_bytes(canonical_bytes(index))
    return index, digest


@pytest.fixture
def school(root, centre, tmp_path):
    """A school that runs a release of the centre's, and has heard of no other."""
    centre.claim_codes["CODE123456"] = "Мактаби №1"
    enrol(root, centre)
    _index, digest = laid(root, centre, tmp_path, version=1)
    slots_write(root, Slots(current=digest, phase=Phase.COMMITTED))
    assert contact(root).failures == {}
    return root


def test_a_pc_that_has_seen_no_metadata_takes_nothing_for_withdrawn(school):
    active = active_release(root=school)
    unseen = Trusted(time_floor=NOW, issued_at=NOW, releases=(), director_key="", courier_key="")
    assert not is_withdrawn(digest=active.digest, index=active.index, trusted=unseen)
    assert is_withdrawn(digest="f" * 64, index=active.index, trusted=trusted_read(school / "tuf"))


def test_what_runs_and_is_withdrawn_goes_on_and_the_centre_hears_that_the_school_knows(school, centre):
    before, running = slots_read(school), slots_read(school).current
    centre.withdraw(running)
    assert not running_is_withdrawn(root=school)
    assert contact(school).failures == {}
    contact(school)
    assert (slots_read(school), centre.check_ins[-1].running) == (before, running)
    assert centre.check_ins[-1].problems == ("release_withdrawn",)
    assert active_release(root=school).digest == running


@pytest.mark.parametrize("language", SENTENCES)
def test_the_status_page_says_in_every_language_that_it_is_withdrawn(school, centre, teacher, language):
    page = Client()
    page.force_login(teacher)
    page.post(reverse("set_language"), {"language": language, "next": "/"})
    assert SENTENCES[language] not in page.get("/status/").text
    centre.withdraw(slots_read(school).current)
    contact(school)
    assert SENTENCES[language] in page.get("/status/").text
    with translation.override("en"):
        assert "withdrawn by the ministry" in _words(status_read(root=school, now=timezone.now()))


def test_an_adapter_whose_base_is_withdrawn_is_withdrawn_with_it(school, centre, tmp_path):
    base = slots_read(school).current
    adapter, digest = laid(school, centre, tmp_path, version=2, base=base)
    contact(school)
    kept = trusted_read(school / "tuf")
    assert not is_withdrawn(digest=digest, index=adapter, trusted=kept)
    centre.withdraw(base)
    contact(school)
    assert is_withdrawn(digest=digest, index=adapter, trusted=trusted_read(school / "tuf"))


def test_a_withdrawn_release_is_not_offered_beside_the_one_that_runs(school, centre, tmp_path):
    base = slots_read(school).current
    _index, one = laid(school, centre, tmp_path, version=2, base=base)
    _index, two = laid(school, centre, tmp_path, version=3, base=base)
    contact(school)
    slots_write(school, Slots(current=two, previous=one, phase=Phase.COMMITTED))
    assert [each.digest for each in releases_beside(root=school)] == [one, base]
    centre.withdraw(one)
    contact(school)
    assert [each.digest for each in releases_beside(root=school)] == [base]


@pytest.mark.slow
def test_by_link_a_school_goes_back_to_the_release_that_it_ran_before(root, tmp_path):
    with real_centre(tmp_path / "centre", SORO_CENTRAL_CHECKIN_SECONDS="60") as running:
        pc = School(root, running.url)
        pc.enrol(running, "withdrawn")
        digests = []
        for number in (1, 2):
            folder = package_make(tmp_path / str(number), size_bytes=30_000, seed=number)
            digests.append(running.ask("offer", folder=str(folder))["digest"])
            while not pc.is_done(digests[-1]):
                assert pc.contact()
                pc.engine_start()
        assert pc.contact()
        running.ask("revoke", digest=digests[1])
        fetched = len(list((root / "releases").iterdir()))
        while not pc.is_done(digests[0]):
            assert pc.contact()
            assert school_expect_sound(root) in digests
            pc.engine_start()
        assert not running_is_withdrawn(root=root)
        assert len(list((root / "releases").iterdir())) == fetched == 2
        assert pc.contact()
        node_id = enrolment_read(root).node_id.replace("-", "")
        assert running.rows("SELECT running, problems FROM schools_node WHERE id = ?", node_id) == [(digests[0], "[]")]

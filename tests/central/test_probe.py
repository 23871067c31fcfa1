"""Updates of a robust season are tried on corrections that the centre knows before anybody's are combined."""

from datetime import timedelta

import pytest
from django.utils import timezone

from central.feedback.models import Rating, ReviewStatus
from central.training import tasks
from central.training.claim import claim_hold
from central.training.errors import ProbeFailed
from central.training.known_corrections import LONGEST, OTHERS, OWN, known_corrections
from central.training.models import RoundStatus, SeasonMode, Update, UpdateStatus
from central.training.probe import probe_measured
from central.training.quarantine import round_screen
from central.training.services import kept_path
from central.training.tasks import round_tick
from federation.learning.probe_task import Tried
from tests.central.modes import WHEN, hand_in, schools_many, season_robust
from tests.central.natural_season import hand_in_natural, season_natural
from tests.central.seasons import collecting, season_small

HONEST = 6


@pytest.fixture
def schools(db, client, keys):
    return schools_many(client, HONEST + 1)


@pytest.fixture
def season(schools):
    return season_robust(wanted=HONEST)


@pytest.fixture
def updates(season, schools, disk):
    return [hand_in(school, season, disk, number) for number, school in enumerate(schools)]


class PlayedProbe:
    """Gains 1 nat on everything, but for the update that makes others' corrections dearer, and its own most."""

    def __init__(self, poisoned="", cut_after=None):
        self.poisoned, self.cut_after = poisoned, cut_after
        self.asked: list[list[str]] = []
        self.corrections = []

    def __call__(self, _round, _start, task, _disk):
        self.asked.append([update.digest for update in task.updates])
        self.corrections.append(task.corrections)
        for number, update in enumerate(task.updates):
            if number == self.cut_after:
                raise ProbeFailed(reason="killed")
            others = len(update.places) - 1
            gains = (*[-1.0] * others, -3.0) if update.digest == self.poisoned else (*[1.0] * others, 2.0)
            yield Tried(digest=update.digest, gains=gains)


def correct(school, number=0, **changes):
    fields = {
        "record_id": f"record-{number}", "revision": 1, "question": f"савол {number}", "answer": "Намедонам.",
        "stars": 1, "correction": f"ҷавоб {number}", "received_at": timezone.now(),
        "rated_at": WHEN - timedelta(days=1, minutes=-number),
    }  # fmt: skip
    return Rating.objects.create(node_id=school.node_id, **(fields | changes))


def screened(season, disk, probe):
    return round_screen(round_=collecting(season), disk=disk, now=timezone.now(), probe=probe)


def test_an_update_that_makes_its_schools_corrections_dearer_waits_with_its_reason(season, schools, updates, disk):
    for school in schools:
        correct(school)
    screened(season, disk, PlayedProbe(poisoned=updates[-1].digest))
    poisoned = Update.objects.get(pk=updates[-1].pk)
    assert poisoned.status == UpdateStatus.QUARANTINED
    assert poisoned.figures["reasons"] == ["worse_on_others_corrections", "worse_on_own_corrections"]
    assert (poisoned.figures["own_gain"], poisoned.figures["others_gain"], poisoned.figures["tried_on"]) == (-3, -1, 0)
    assert Update.objects.accepted().count() == HONEST


def test_without_any_correction_nothing_is_tried(season, updates, disk):
    probe = PlayedProbe()
    screened(season, disk, probe)
    assert probe.asked == []
    assert not Update.objects.filter(figures__has_key="tried_on").exists()
    assert all(update.figures["own_gain"] is None for update in Update.objects.all())


def test_each_update_is_tried_once_on_an_adapter_and_a_trying_that_was_cut_goes_on(season, schools, updates, disk):
    for school in schools:
        correct(school)
    cut = PlayedProbe(cut_after=2)
    with pytest.raises(ProbeFailed):
        screened(season, disk, cut)
    probe = PlayedProbe()
    for _ in range(2):
        screened(season, disk, probe)
    digests = [update.digest for update in updates]
    assert (cut.asked, probe.asked) == ([digests], [digests[2:]])
    assert set(Update.objects.values_list("figures__own_gain", flat=True)) == {2.0}


def test_a_school_that_withdraws_while_updates_are_tried_ends_nothing(season, schools, updates, disk):
    for school in schools:
        correct(school)
    played = PlayedProbe()

    def probe(*asked):
        for number, tried in enumerate(played(*asked)):
            if number == 0:
                kept_path(update=updates[1], disk=disk).unlink()
                Update.objects.filter(pk=updates[1].pk).update(status=UpdateStatus.WITHDRAWN, code="school_withdrawn")
            if tried.digest != updates[1].digest:
                yield tried

    assert len(screened(season, disk, probe)) == HONEST + 1
    assert Update.objects.accepted().filter(figures__own_gain=2.0, figures__reasons=[]).count() == HONEST
    withdrawn = Update.objects.get(status=UpdateStatus.WITHDRAWN)
    assert (withdrawn.pk, withdrawn.figures) == (updates[1].pk, {})


def test_what_is_accepted_while_updates_are_tried_is_looked_at_with_the_next_tick(season, schools, disk):
    first = [hand_in(school, season, disk, number) for number, school in enumerate(schools[:-1])]
    correct(schools[0])

    def probe(*asked):
        hand_in(schools[-1], season, disk, HONEST)
        yield from PlayedProbe()(*asked)

    looked_at = screened(season, disk, probe)
    assert looked_at == {update.pk for update in first}
    assert Update.objects.latest("pk").figures == {}


def test_a_round_whose_updates_cannot_be_tried_says_why_and_keeps_them(season, schools, updates, disk):
    """The season's base is a row without a package here, so the process itself fails."""
    for school in schools:
        correct(school)
    round_ = collecting(season)
    round_tick()
    round_.refresh_from_db()
    assert (round_.status, round_.updates.accepted().count()) == (RoundStatus.ABANDONED, HONEST + 1)
    assert round_.why_ended.startswith("probe_failed")


def test_while_one_process_tries_them_no_other_begins(season, updates, disk, monkeypatch):
    monkeypatch.setattr(tasks, "round_screen", lambda **_: pytest.fail("another process is at it"))
    round_ = collecting(season)
    with claim_hold(disk.claims, round_id=round_.round_id) as claim:
        assert claim.is_ours
        round_tick()
    round_.refresh_from_db()
    assert round_.status == RoundStatus.COLLECTING


def test_a_season_that_does_not_compare_updates_tries_none(schools, disk):
    season = season_small(wanted=HONEST)
    correct(schools[0])
    hand_in(schools[0], season, disk, 0)
    screened(season, disk, lambda *_: pytest.fail("nothing is to be tried"))


def chosen(update):
    """Return the answers of the update's own corrections and of others'."""
    known = known_corrections([update], made_at={update.pk: WHEN})
    return [[known.corrections[place].answer for place in those[update.pk]] for those in (known.own, known.others)]


def test_an_update_is_tried_on_its_schools_newest_corrections_and_on_one_of_each_other(season, schools, disk):
    update = hand_in(schools[0], season, disk, 0)
    for number in range(OWN + 2):
        correct(schools[0], number)
    for number in range(2):
        correct(schools[1], number, correction=f"дигар {number}")
    # What was corrected after the training it cannot have learnt.
    correct(schools[0], OWN + 2, rated_at=WHEN + timedelta(minutes=1))
    own, others = chosen(update)
    assert own == [f"ҷавоб {number}" for number in range(OWN + 1, 1, -1)]
    assert others == ["дигар 1"]


def test_what_was_rejected_or_is_no_correction_counts_for_nothing_and_what_was_edited_as_edited(season, schools, disk):
    update = hand_in(schools[0], season, disk, 0)
    correct(schools[0], 1, status=ReviewStatus.REJECTED)
    correct(schools[0], 2, correction="")
    correct(schools[0], 3, question="с" * (LONGEST + 1))
    correct(schools[0], 4, status=ReviewStatus.ACCEPTED, edited_correction="таҳриршуда")
    assert chosen(update) == [["таҳриршуда"], []]


def test_others_corrections_are_those_first_that_a_reviewer_accepted(schools, season, disk, client):
    update = hand_in(schools[0], season, disk, 0)
    many = schools_many(client, len(schools) + OTHERS + 1)[len(schools) :]
    correct(many[0], correction="аз назар гузашта", status=ReviewStatus.ACCEPTED)
    for school in many[1:]:
        correct(school)
    _, others = chosen(update)
    assert (len(others), others[0]) == (OTHERS, "аз назар гузашта")


@pytest.mark.slow
def test_a_real_process_tries_them_on_a_real_package(school, disk, tmp_path):
    season = season_natural(tmp_path, disk, wanted=5, mode=SeasonMode.ROBUST)
    assert hand_in_natural(school, season, disk).code == ""
    correct(school)
    screened(season, disk, probe_measured)
    figures = Update.objects.get().figures
    assert abs(figures["own_gain"]) > 0
    assert (figures["others_gain"], figures["tried_on"]) == (None, 0)
    assert not list(disk.builds.glob("probe-*"))

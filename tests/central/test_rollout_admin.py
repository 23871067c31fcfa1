"""Rollouts in the admin: planned, previewed, steered by two people, and told in words."""

import json
from dataclasses import asdict
from datetime import time, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from central.bars import BAR_WIDTH
from central.rollouts import words
from central.rollouts.models import Assignment, PauseReason, Rollout, RolloutStatus, SchoolFilter, WaveStatus
from central.rollouts.planning import school_filter_save
from central.rollouts.preview import SkipReason
from central.rollouts.progress import rollout_progress
from central.rollouts.services import rollout_submit
from central.rollouts.steps import WORDS, StepName, steps_legal
from central.rollouts.targeting import Target
from central.rollouts.verdict import WaveCounts
from central.schools.models import AuditEvent, School, Tag
from central.schools.pc_words import PC_CODES
from central.schools.roles import Role
from federation.errors import FederationError
from federation.inference import self_test  # noqa: F401 - its codes are among those that are looked through
from node.installed import errors as _installed  # noqa: F401
from tests.central.regions import account
from tests.central.test_rollout_targets import nodes_make, release_of_bytes
from tests.central.test_rollouts import RULES, _running, _tick

PLACE = "/admin/rollouts/rollout/"
PLAN = {
    "purpose": "bring",
    "soak_hours": 12,
    "deadline_days": 14,
    "pass_percent": 80,
    "failures_allowed": 1,
    "margin_percent": 7,
    "min_ratings": 40,
    "form-INITIAL_FORMS": 0,
    "form-TOTAL_FORMS": 2,
    "form-0-whom": "count",
    "form-0-name": "аввал",
    "form-0-number": 5,
    "form-1-whom": "percent",
    "form-1-number": 100,
}


@pytest.fixture
def release(db):
    return release_of_bytes(1, 3_000_000)


@pytest.fixture
def gulnora(client, db):
    client.force_login(get_user_model().objects.create_superuser("Гулнора", password="x"))
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    # A preview of another test's rollout may be kept under the same number.
    cache.clear()
    return client


@pytest.fixture
def firdavs(db, client):
    other = type(client)(headers={"accept-language": "en"})
    other.force_login(get_user_model().objects.create_superuser("Фирдавс", password="x"))
    return other


def planned(client, release, **changes):
    answer = client.post(f"{PLACE}add/", {"release": release.pk, **PLAN, **changes})
    errors = [] if answer.status_code == 302 else [answer.context["form"].errors, answer.context["waves"].errors]
    assert answer.status_code == 302, errors
    return Rollout.objects.first()


def offered(client, rollout):
    """Return the steps that the rollout's page offers, by name."""
    steps = client.get(f"{PLACE}{rollout.pk}/change/").context["shown"]["steps"]
    return [step["place"].split("/step/")[1].split("/")[0] for step in steps]


def step(client, rollout, name, *, wave=None, **said):
    query = f"?wave={wave.pk}" if wave else ""
    answer = client.post(f"{PLACE}{rollout.pk}/step/{name}/{query}", said, follow=True)
    assert answer.status_code == 200
    rollout.refresh_from_db()
    return answer


# Planning.


def test_a_plan_is_kept_with_all_its_terms(gulnora, release):
    nodes_make(3, kind="гимназия")
    Tag.objects.create(name="пилот")
    rollout = planned(
        gulnora,
        release,
        purpose="fetch",
        activates_at="2026-12-24T08:00",
        is_forced="on",
        regions=["Хатлон"],
        kinds=["гимназия"],
        hardware=["medium", "large"],
        tags=["пилот"],
        window_opens_at="18:00",
        window_closes_at="06:00",
        failure_budget=9,
    )
    assert rollout.target() == Target(
        regions=("Хатлон",), kinds=("гимназия",), hardware=("medium", "large"), tags=("пилот",)
    )
    assert (rollout.window_opens_at, rollout.window_closes_at) == (time(18), time(6))
    assert (rollout.is_forced, rollout.failure_budget, rollout.quality_min_ratings) == (True, 9, 40)
    assert timezone.localtime(rollout.activates_at).isoformat() == "2026-12-24T08:00:00+05:00"
    assert (rollout.status, rollout.created_by, rollout.quality_margin) == ("draft", "Гулнора", 0.07)
    first, second = rollout.waves.order_by("number")
    assert (first.name, first.count, second.name, second.percent) == ("аввал", 5, "wave 2", 100)
    assert (first.soak_seconds, first.deadline_seconds) == (12 * 3600, 14 * 86_400)
    assert (first.pass_share, first.failures_allowed) == (0.8, 1)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"purpose": "fetch"}, "Give a date if schools fetch first"),
        ({"window_opens_at": "18:00"}, "Give both hours or neither"),
        ({"window_opens_at": "18:00", "window_closes_at": "18:00"}, "begin and end at 18:00"),
        ({"purpose": "return"}, "No school has run release 1"),
        ({"form-1-number": 101}, "Give a share of 1 to 100"),
        ({"form-0-whom": "list", "form-0-schools": "Мактаби нест"}, "There is no school «Мактаби нест»"),
        ({"form-0-whom": "", "form-1-whom": ""}, "add at least one wave"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_a_sentence_and_leaves_nothing(gulnora, release, changes, problem):
    answer = gulnora.post(f"{PLACE}add/", {"release": release.pk, **PLAN, **changes})
    assert problem in answer.text
    assert Rollout.objects.count() == 0


def test_one_more_wave_is_one_more_row_and_no_rollout(gulnora, release):
    answer = gulnora.post(f"{PLACE}add/", {"release": release.pk, **PLAN, "more": "1"})
    assert len(answer.context["waves"].forms) == 3
    assert answer.context["waves"].forms[0]["name"].value() == "аввал"
    assert Rollout.objects.count() == 0


def test_a_plan_by_a_saved_filter_keeps_a_copy_of_its_marks(gulnora, release, now):
    saved = school_filter_save(name="шаҳр", target=Target(regions=("Душанбе",)), actor="Гулнора", now=now)
    rollout = planned(gulnora, release, saved_filter=saved.pk)
    gulnora.post(f"/admin/rollouts/schoolfilter/{saved.pk}/delete/", {"post": "yes"})
    rollout.refresh_from_db()
    assert (SchoolFilter.objects.count(), rollout.target()) == (0, Target(regions=("Душанбе",)))


def test_a_draft_is_planned_anew_under_the_same_number_and_by_another(gulnora, firdavs, release):
    rollout = planned(gulnora, release)
    answer = firdavs.get(f"{PLACE}{rollout.pk}/plan/")
    assert answer.context["waves"].forms[0]["number"].value() == 5
    firdavs.post(f"{PLACE}{rollout.pk}/plan/", {"release": release.pk, **PLAN, "form-0-number": 8})
    rollout.refresh_from_db()
    assert (Rollout.objects.count(), rollout.created_by) == (1, "Фирдавс")
    assert list(rollout.waves.values_list("count", "percent")) == [(8, 0), (0, 100)]
    rollout_submit(rollout=rollout, actor="Фирдавс", now=timezone.now())
    changed = firdavs.post(f"{PLACE}{rollout.pk}/plan/", {"release": release.pk, **PLAN, "form-0-number": 1})
    assert (changed.status_code, rollout.waves.order_by("number").first().count) == (403, 8)


def test_a_filter_is_made_changed_and_deleted_with_audit(gulnora):
    place = "/admin/rollouts/schoolfilter/"
    School.objects.create(name="Мактаби №1", region="Суғд", created_at=timezone.now())
    gulnora.post(f"{place}add/", {"name": "шимол", "regions": ["Суғд"]})
    saved = SchoolFilter.objects.get()
    assert (saved.target(), saved.created_by) == (Target(regions=("Суғд",)), "Гулнора")
    assert "regions: Суғд" in gulnora.get(place).text
    assert "There is a filter called" in gulnora.post(f"{place}add/", {"name": "шимол"}).text
    gulnora.post(f"{place}{saved.pk}/change/", {"name": "шимол 2", "hardware": ["gpu"]})
    saved.refresh_from_db()
    assert (saved.name, saved.target()) == ("шимол 2", Target(hardware=("gpu",)))
    gulnora.post(place, {"action": "delete_selected", "_selected_action": saved.pk, "post": "yes"})
    assert SchoolFilter.objects.count() == 0
    assert list(AuditEvent.objects.order_by("pk").values_list("new", flat=True)) == ["saved", "changed", "deleted"]


# The preview.


def test_the_preview_names_every_school_once_with_its_wave_or_why_not(gulnora, release):
    nodes_make(30)
    nodes_make(4, region="Суғд")
    School.objects.create(name="Бе компютер", region="Суғд", created_at=timezone.now())
    rollout = planned(gulnora, release, regions=["Хатлон"])
    place = f"{PLACE}{rollout.pk}/preview/"
    shown = gulnora.get(place).context
    counts = {part.key: part.count for part in (*shown["parts"]["waves"], *shown["parts"]["reasons"])}
    assert counts == {"wave-1": 5, "wave-2": 25, "no_pc": 1, "not_targeted": 4}
    named = [row.school for key in counts for row in gulnora.get(place, {"part": key}).context["rows"]]
    assert sorted(named) == sorted(School.objects.values_list("name", flat=True))
    assert [row.school for row in gulnora.get(place, {"part": "no_pc"}).context["rows"]] == ["Бе компютер"]
    found = gulnora.get(place, {"part": "not_targeted", "region": "Суғд", "search": "мактаби 31"}).context["rows"]
    assert [row.school for row in found] == ["Мактаби 31"]
    assert "2.9" in gulnora.get(place, {"part": "wave-1"}).context["rows"][0].size


def test_a_preview_of_many_schools_is_shown_by_pages(gulnora, release):
    nodes_make(120)
    rollout = planned(gulnora, release)
    page = gulnora.get(f"{PLACE}{rollout.pk}/preview/", {"part": "wave-2", "page": 3})
    assert (len(page.context["rows"]), page.context["rows"].paginator.count) == (15, 115)
    assert "page 3 of 3" in page.text


def test_pages_of_a_preview_are_turned_in_one_drawing_and_opening_it_draws_anew(gulnora, release):
    nodes_make(10)
    rollout = planned(gulnora, release)
    place = f"{PLACE}{rollout.pk}/preview/"

    def counted(**asked):
        return sum(part.count for part in gulnora.get(place, asked).context["parts"]["waves"])

    assert counted() == 10
    nodes_make(5)
    assert counted(part="wave-2") == 10
    assert counted() == 15
    assert counted(part="wave-2") == 15


# Steps.


def test_two_people_bring_a_rollout_to_its_end_and_back(gulnora, firdavs, school, release):
    rollout = planned(gulnora, release, **{"form-TOTAL_FORMS": 1, "form-0-number": 1, "soak_hours": 0})
    assert offered(gulnora, rollout) == ["submit", "abort"]
    step(gulnora, rollout, "submit")
    assert offered(gulnora, rollout) == ["reject", "abort"]
    assert offered(firdavs, rollout) == ["approve", "reject", "abort"]
    step(firdavs, rollout, "approve")
    assert (rollout.status, rollout.approved_by, offered(gulnora, rollout)) == (
        "scheduled",
        "Фирдавс",
        ["start", "abort"],
    )
    step(gulnora, rollout, "start")
    assert offered(gulnora, rollout) == ["pause", "budget", "roll-back", "abort"]
    step(gulnora, rollout, "pause", reason="барқ нест")
    assert (rollout.pause_reason, offered(gulnora, rollout)) == (
        PauseReason.MANUAL,
        ["resume", "budget", "roll-back", "abort"],
    )
    step(gulnora, rollout, "resume")
    _tick(rollout)
    school.install()
    _tick(rollout)
    assert (rollout.status, offered(gulnora, rollout)) == ("completed", ["roll-back"])
    step(firdavs, rollout, "roll-back", reason="бад")
    assert (rollout.status, offered(gulnora, rollout)) == ("rolling_back", ["abort"])
    trail = gulnora.get(f"{PLACE}{rollout.pk}/change/").context["trail"]
    assert (trail[0].actor, trail[0].old, trail[0].new, trail[0].why) == ("Фирдавс", "completed", "rolling back", "бад")
    assert "барқ нест" in [row.why for row in trail]


def test_a_step_that_is_not_legal_any_more_is_refused_and_changes_nothing(gulnora, release):
    rollout = planned(gulnora, release)
    before = AuditEvent.objects.count()
    for name in StepName:
        if name.value not in ("submit", "abort"):
            answer = step(gulnora, rollout, name.value, reason="чунин")
            assert "not possible any more" in answer.text
    assert (rollout.status, AuditEvent.objects.count()) == ("draft", before)


def test_a_creator_does_not_approve_by_the_address(gulnora, release):
    rollout = planned(gulnora, release)
    step(gulnora, rollout, "submit")
    step(gulnora, rollout, "approve")
    assert rollout.status == "pending_approval"


def test_a_rollout_that_its_budget_paused_goes_on_once_the_budget_is_raised(gulnora, release):
    nodes_make(10)
    rollout = _running(release, "ҳама=100%")
    rollout.waves.update(failures_allowed=5)
    Rollout.objects.filter(pk=rollout.pk).update(failure_budget=1)
    failed = rollout.assignments.values_list("pk", flat=True)[:2]
    Assignment.objects.filter(pk__in=list(failed)).update(status="reverted", sequence=1, error_code="engine_failed")
    _tick(rollout)
    assert (rollout.status, rollout.pause_reason) == ("paused", "error_threshold")
    assert offered(gulnora, rollout) == ["budget", "roll-back", "abort"]
    answer = step(gulnora, rollout, "budget", failure_budget=1, reason="санҷидем")
    assert "2 schools have failed and 1 may" in answer.text
    answer = step(gulnora, rollout, "budget", failure_budget=4, reason="")
    assert (rollout.failure_budget, answer.context["form"].errors.keys()) == (1, {"reason"})
    step(gulnora, rollout, "budget", failure_budget=4, reason="санҷидем")
    assert (rollout.failure_budget, offered(gulnora, rollout)) == (4, ["resume", "budget", "roll-back", "abort"])
    step(gulnora, rollout, "resume")
    _tick(rollout)
    assert rollout.status == "running"
    trail = gulnora.get(f"{PLACE}{rollout.pk}/change/").context["trail"]
    assert ("failures allowed: 1", "failures allowed: 4", "санҷидем") in [(r.old, r.new, r.why) for r in trail]


def test_an_inconclusive_wave_is_extended_or_overridden_with_a_reason_and_no_other_is(gulnora, school, release):
    rollout = _running(release, "яккум=Мактаби №1", "ҳама=100%")
    first, second = rollout.waves.order_by("number")
    _tick(rollout, after=timedelta(days=22))
    assert offered(gulnora, rollout) == ["extend", "override", "budget", "roll-back", "abort"]
    answer = step(gulnora, rollout, "override", wave=second, reason="майлаш")
    assert "not possible any more" in answer.text
    answer = step(gulnora, rollout, "override", wave=first)
    assert answer.context["form"].errors.keys() == {"reason"}
    step(gulnora, rollout, "override", wave=first, reason="барқ набуд")
    first.refresh_from_db()
    assert (first.status, first.verdict_reason) == (WaveStatus.PASSED, "override")
    assert offered(gulnora, rollout)[0] == "resume"


def test_a_failed_wave_leads_only_back_or_to_an_end(gulnora, release):
    nodes_make(4)
    rollout = _running(release, "ҳама=100%")
    Assignment.objects.filter(pk=rollout.assignments.first().pk).update(
        status="reverted", sequence=1, error_code="trial_crash_loop"
    )
    _tick(rollout)
    assert (rollout.status, offered(gulnora, rollout)) == ("paused", ["roll-back", "abort"])
    page = gulnora.get(f"{PLACE}{rollout.pk}/change/").text
    assert "PCs on which the release failed: 1; allowed in this wave: 0." in page
    assert "the model crashed again and again on trial" in page


def test_who_may_only_look_gets_no_steps_and_takes_none(client, release):
    rollout = _running(release, "ҳама=100%")
    client.force_login(account("Далер", Role.AUDITOR))
    assert offered(client, rollout) == []
    for name in ("pause", "roll-back", "abort"):
        step(client, rollout, name, reason="чунин")
    assert rollout.status == "running"
    assert client.get(f"{PLACE}add/").status_code == 403
    assert client.post(f"{PLACE}add/", PLAN).status_code == 403
    assert client.get("/admin/rollouts/schoolfilter/add/").status_code == 403


def test_who_may_not_see_rollouts_sees_no_part_of_one(client, release):
    rollout = _running(release, "ҳама=100%")
    client.force_login(get_user_model().objects.create_user("Далер", password="x", is_staff=True))
    for part in ("change", "preview", "progress", "plan", "step/pause"):
        assert client.get(f"{PLACE}{rollout.pk}/{part}/").status_code in (403, 404), part
    assert client.get(f"{PLACE}999/progress/").status_code == 404


# What moves while somebody looks.


def test_the_progress_counts_every_pc_once_and_speaks_the_readers_language(gulnora, school, other_school, release):
    rollout = _running(release, "ҳама=100%")
    school.word()
    answer = gulnora.get(f"{PLACE}{rollout.pk}/progress/", headers={"accept-language": "tg"})
    (wave,) = json.loads(answer.content)["waves"]
    numbers = {part["name"]: part["number"] for part in wave["parts"]}
    assert numbers == {"committed": 0, "on_the_way": 1, "failed": 0, "pending": 1, "others": 0}
    assert (wave["total"], sum(part["width"] for part in wave["parts"])) == (2, BAR_WIDTH)
    assert json.loads(answer.content)["status_words"] == "иҷро мешавад"
    school.install()
    (wave,) = json.loads(gulnora.get(f"{PLACE}{rollout.pk}/progress/").content)["waves"]
    assert wave["verdict"].startswith("1 of 1 PCs that were in contact run the release")


def test_a_schools_row_says_why_it_waits(gulnora, school, other_school, release):
    rollout = _running(release, "ҳама=100%")
    school.word()
    shown = gulnora.get(f"{PLACE}{rollout.pk}/change/").context["schools"]
    why = {row.school: row.why for row in shown}
    assert why["Мактаби №1"] == "it knows of the release and has not begun to fetch it"
    assert why["Мактаби №2"] == "it has not been in contact since; it comes about every 7 days"
    chosen = gulnora.get(f"{PLACE}{rollout.pk}/change/", {"status": "offered"}).context["schools"]
    assert [row.school for row in chosen] == ["Мактаби №1"]
    step(gulnora, rollout, "pause")
    shown = gulnora.get(f"{PLACE}{rollout.pk}/change/", {"search": "№2"}).context["schools"]
    assert [row.why for row in shown] == ["the rollout is paused"]


@pytest.mark.parametrize(
    "place", ["{rollout}/change/", "{rollout}/progress/", "{rollout}/preview/", "", "add/", "{rollout}/step/pause/"]
)
def test_no_page_has_queries_that_grow_with_schools(gulnora, release, place):
    nodes_make(10)
    rollout = _running(release, "ҳама=100%")
    address = PLACE + place.format(rollout=rollout.pk)
    gulnora.get(address)
    with CaptureQueriesContext(
        connection,
    ) as few:
        assert gulnora.get(address).status_code == 200
    nodes_make(190)
    others = [_running(release_of_bytes(number, 1000), f"{number}=5%") for number in range(2, 6)]
    rows = [
        Assignment(rollout=rollout, wave=rollout.waves.get(), node=each, created_at=timezone.now())
        for each in nodes_make(150)
    ]
    Assignment.objects.filter(rollout__in=others).delete()
    Assignment.objects.bulk_create(rows)
    with CaptureQueriesContext(connection) as many:
        assert gulnora.get(address).status_code == 200
    assert len(many) <= len(few)


@pytest.mark.parametrize("place", ["wave", "assignment", "directive", "schoolfilter"])
def test_no_list_has_queries_that_grow_with_rows(gulnora, release, place, now):
    nodes_make(10)
    _running(release, "ҳама=100%")
    address = f"/admin/rollouts/{place}/"
    school_filter_save(name="0", target=Target(), actor="Гулнора", now=now)
    gulnora.get(address)
    with CaptureQueriesContext(connection) as few:
        assert gulnora.get(address).status_code == 200
    nodes_make(190)
    for number in range(2, 5):
        _running(release_of_bytes(number, 1000), "ҳама=100%")
        school_filter_save(name=str(number), target=Target(), actor="Гулнора", now=now)
    with CaptureQueriesContext(connection) as many:
        assert gulnora.get(address).status_code == 200
    assert len(many) <= len(few)


# Words.


@pytest.mark.parametrize("language", ["tg", "ru"])
def test_every_code_that_a_page_shows_has_words_in_every_language(language):
    tables = (words.WAITING, words.SKIPPED, words.VERDICTS, words.REASONS, PC_CODES)
    texts = [text for table in tables for text in table.values()]
    texts += [text for each in WORDS.values() for text in asdict(each).values()]
    with translation.override(language):
        assert [text for text in texts if translation.gettext(text) == text] == []


def test_every_code_that_an_installation_may_end_with_has_words():
    rooms = ("node.installed.errors", "federation.inference.errors", "federation.inference.self_test")
    codes = {each.code for each in _all_errors(FederationError) if each.__module__ in rooms}
    assert {reason.value for reason in SkipReason} == set(words.SKIPPED)
    assert codes - {"prompt_too_long", "suite_invalid", "illegal_step"} - set(PC_CODES) == set()


def _all_errors(kind):
    for each in kind.__subclasses__():
        yield each
        yield from _all_errors(each)


def test_a_targets_marks_are_told_in_words():
    target = Target(regions=("Хатлон", "Суғд"), hardware=("gpu",), tags=("пилот",))
    with translation.override("en"):
        assert words.target_words(target) == "regions: Хатлон, Суғд; PCs: with a GPU; tags: пилот"
        assert words.target_words(Target()) == "the whole country"


def test_a_verdict_by_ratings_is_told_with_its_interval(release):
    rollout = _running(release, "ҳама=100%")
    wave = rollout.waves.get()
    wave.status, wave.verdict_reason, wave.counts = WaveStatus.INCONCLUSIVE, "ratings_worse", {}
    wave.quality = {"new": {"share": 0.6}, "old": {"share": 0.9}, "low": -0.4, "high": -0.2, "outcome": "worse"}
    with translation.override("en"):
        assert words.verdict_words(wave, None, now=timezone.now()) == (
            "Teachers rate it worse: 60% of ratings are good where 90% were (change between -40 and -20 points); "
            "5 points are allowed."
        )
        assert words.counts_words({"contacted": 3, "committed": 2}) == "in contact: 3, run the release: 2"


def test_a_wave_that_waits_names_how_many_have_to_run_the_release(release):
    rollout = _running(release, "ҳама=100%", rules=RULES)
    wave, counts = rollout.waves.get(), WaveCounts(nodes=30, contacted=21, committed=4, failed=0)
    with translation.override("en"):
        told = words.verdict_words(wave, counts, now=timezone.now())
    assert told.startswith("4 of 21 PCs that were in contact run the release; 19 have to. It waits for reports until")


def test_what_is_legal_depends_on_who_asks_and_on_the_release(release):
    rollout = _running(release, "ҳама=100%")
    waves = list(rollout.waves.all())
    rollout.status, rollout.created_by = RolloutStatus.PENDING_APPROVAL, "Гулнора"
    asked = {"waves": waves, "failed": 0, "allowed": 0}
    assert StepName.APPROVE not in dict(steps_legal(rollout, actor="Гулнора", **asked))
    assert StepName.APPROVE in dict(steps_legal(rollout, actor="Фирдавс", **asked))
    rollout.release.status = "revoked"
    assert StepName.APPROVE not in dict(steps_legal(rollout, actor="Фирдавс", **asked))
    rollout.status = RolloutStatus.PAUSED
    assert set(dict(steps_legal(rollout, actor="Фирдавс", **asked))) == {StepName.ROLL_BACK, StepName.ABORT}


def test_figures_and_budget_are_those_of_the_tables(release):
    nodes_make(7)
    rollout = _running(release, "аввал=+3", "ҳама=100%")
    rollout.waves.update(failures_allowed=2)
    progress = rollout_progress(rollout, now=timezone.now())
    assert [each.total for each in progress.waves] == [3, 0]
    assert (progress.failed, progress.allowed) == (0, 2)

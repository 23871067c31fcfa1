"""Seasons and rounds in the admin: what a person sees of them, and which buttons there are."""

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from central.schools.models import AuditEvent
from central.training.models import Round, RoundStatus, Season, SeasonStatus
from central.training.rounds import round_advance
from central.training.watch import adapters_compare, round_watch
from tests.central.seasons import collecting, season_small, take_in, update_of
from tests.central.test_candidate import Gate
from tests.central.test_rollouts import release_make
from tests.central.test_seasons import runs, sign, tick


@pytest.fixture
def staff(client, db):
    client.force_login(get_user_model().objects.create_superuser("Гулнора", password="x"))
    return client


@pytest.fixture
def season(keys, db):
    return season_small(wanted=1)


def act(staff, action, row):
    place = f"/admin/training/{row._meta.model_name}/"
    answer = staff.post(place, {"action": action, "_selected_action": row.pk}, follow=True)
    row.refresh_from_db()
    return [str(message) for message in answer.context["messages"]]


def offered(staff, model):
    """Return the actions that the list of `model` offers."""
    answer = staff.get(f"/admin/training/{model}/")
    form = answer.context["action_form"]
    return {name for name, _words in form.fields["action"].choices if name} if form else set()


def page(staff, row, language="en"):
    answer = staff.get(
        f"/admin/training/{row._meta.model_name}/{row.pk}/change/", headers={"Accept-Language": language}
    )
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_round_is_watched_by_region(school, other_school, season, disk):
    for each in (school, other_school):
        runs(each, season.base)
    other_school.updates_waiting = ("0" * 64,)
    other_school.check_in(plan_id=season.plans.get().plan_id)
    take_in(update_of(school, season), disk)
    take_in(update_of(school, season, counter=2, scale=0.5), disk)
    watch = round_watch(collecting(season), now=timezone.now())
    (row,) = watch.regions
    assert (row.region, row.offered, row.learnt, row.accepted, row.refused) == ("Хатлон", 2, 2, 1, 1)
    assert (watch.total.offered, watch.wanted, watch.staleness, watch.connected) == (2, 1, ((0, 1),), 0)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("tg", ("Компютерҳои мактабҳо аз рӯи минтақа", "имзои номзади охиринро")),
        ("ru", ("Школьные ПК по регионам", "подписи последнего кандидата")),
        ("en", ("School PCs by region", "the signature of the last candidate")),
    ],
)
def test_a_rounds_page_says_how_far_schools_are_and_what_it_waits_for(staff, school, season, disk, language, words):
    take_in(update_of(school, season), disk)
    tick(season, disk)
    shown = page(staff, collecting(season), language)
    assert all(word in shown for word in words)


def test_a_seasons_page_sets_its_adapters_side_by_side(staff, school, season, disk):
    take_in(update_of(school, season), disk)
    tick(season, disk)
    sign(Round.objects.get(number=1), disk)
    tick(season, disk)
    take_in(update_of(school, season, scale=0.3), disk)
    tick(season, disk, gate=Gate(unrelated_loss=0.5))
    first, second = adapters_compare(season)
    assert (first.version, first.updates, first.labels, first.corrections_gain) == (1, 1, 2, 2.0)
    assert (second.version, second.unrelated_loss) == (None, 0.5)
    assert [reason.figures for reason in second.reasons] == ["0.500 > 0.050"]
    shown = page(staff, season)
    assert "Answers that nobody corrected became less likely: 0.500 &gt; 0.050" in shown
    assert "Adapters beside each other" in shown


def test_only_what_some_row_can_take_is_offered(staff, school, season, disk):
    assert offered(staff, "season") == {"close"}
    assert offered(staff, "round") == {"combine_now", "abandon"}
    take_in(update_of(school, season), disk)
    tick(season, disk)
    assert offered(staff, "round") == {"combine_now", "abandon", "pass_over"}
    act(staff, "close", season)
    assert season.status == SeasonStatus.CLOSED
    assert offered(staff, "season") == set()


def test_a_person_abandons_a_round_and_has_it_combined_after_all(staff, school, keys, disk):
    season = season_small(wanted=5)
    take_in(update_of(school, season), disk)
    round_ = collecting(season)
    act(staff, "abandon", round_)
    assert round_.status == RoundStatus.ABANDONED
    assert offered(staff, "round") == {"combine_now", "abandon", "retry"}
    act(staff, "retry", round_)
    assert round_.status == RoundStatus.AGGREGATING
    moved = AuditEvent.objects.filter(entity=f"training.round {round_.pk}").order_by("pk").values_list("actor", "new")
    assert list(moved) == [("Гулнора", "abandoned"), ("Гулнора", "aggregating")]


def test_a_person_combines_a_round_early_and_hears_why_an_empty_one_cannot_be(staff, school, keys, disk):
    season = season_small(wanted=5)
    round_ = collecting(season)
    (told,) = act(staff, "combine_now", round_)
    assert "0" in told
    assert round_.closes_at > timezone.now()
    take_in(update_of(school, season), disk)
    act(staff, "combine_now", round_)
    round_advance(round_=round_, now=timezone.now())
    assert round_.status == RoundStatus.AGGREGATING


def test_a_person_goes_on_without_a_candidate(staff, school, season, disk):
    take_in(update_of(school, season), disk)
    tick(season, disk)
    first = Round.objects.get(number=1)
    act(staff, "pass_over", first)
    assert (first.release.status, first.updates.count()) == ("refused", 0)
    assert collecting(season).updates.count() == 1


def test_the_form_refuses_what_the_service_would_refuse_and_opens_nothing(staff, season):
    base = release_make(9, card={"slots": [{"name": "layers.0.o", "d_in": 4, "d_out": 4}]})
    chosen = {
        "wanted": 9,
        "scheme": "ffa-lora",
        "steps": "natural",
        "fusion": "least-squares",
        "least_days": 3,
        "mode": "plain",
        "mode_settings": "{}",
    }
    private = {"mode": "private", "mode_settings": '{"noise_multiplier": 1.0, "labels_expected": 64.0}'}
    for changes in (
        {"base": season.base.pk},
        {"base": base.pk, **private},
        {"base": base.pk, "mode": "robust", "mode_settings": '{"share": 0.9}'},
        {"base": base.pk, "mode": "robust", "wanted": 2},
    ):
        answer = staff.post("/admin/training/season/add/", {**chosen, **changes})
        assert answer.status_code == 200, changes
        assert answer.context["adminform"].form.non_field_errors(), changes
    assert Season.objects.get() == season
    staff.post("/admin/training/season/add/", {**chosen, "base": base.pk, **private, "fusion": "mean"})
    opened = Season.objects.get(base=base)
    settings = opened.settings
    assert (opened.mode, opened.mode_settings["noise_multiplier"], settings["fusion"], settings["least_days"]) == (
        "private",
        1.0,
        "mean",
        3,
    )

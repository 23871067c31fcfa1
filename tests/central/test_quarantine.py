"""Quarantine: what stands apart waits for a person with the figures that say why, and a person decides."""

import dataclasses

import pytest
from django.utils import timezone, translation

from central.releases.models import Release
from central.schools.models import AuditEvent
from central.schools.roles import Role
from central.schools.transitions import StatusMoveIllegal
from central.training import candidate
from central.training.buffer import Due
from central.training.combine import round_combine
from central.training.errors import RoundBlocked, SeasonClosed
from central.training.judging import figures_beside
from central.training.models import Round, RoundStatus, Season, SeasonMode, Update, UpdateStatus
from central.training.offers import receipts_for
from central.training.quarantine import round_screen, update_reject, update_release
from central.training.rounds import round_abandon, round_advance, round_retry
from central.training.seasons import season_close
from central.training.services import kept_path
from central.training.tasks import round_tick
from central.training.words import FIGURES, REASONS
from federation.learning.modes.mode import ModeTermsInvalid
from federation.learning.modes.outliers import OutlierFigures, OutlierReason
from federation.wire.rounds import LocalScores
from tests.central.modes import hand_in, schools_many, season_private, season_robust
from tests.central.regions import account
from tests.central.seasons import collecting, season_small
from tests.central.test_rollouts import release_make

HONEST = 6
BESIDE = {"tried_on", "released_by"}


@pytest.fixture
def schools(db, client, keys):
    return schools_many(client, HONEST + 1)


@pytest.fixture
def season(schools):
    return season_robust(wanted=HONEST)


@pytest.fixture
def poisoned(season, schools, disk):
    """The update of the last school, which sends the opposite of what it learnt, five times as long."""
    for number, school in enumerate(schools[:-1]):
        hand_in(school, season, disk, number)
    return hand_in(schools[-1], season, disk, HONEST, factor=-5.0)


def screened(season, disk):
    return round_screen(round_=collecting(season), disk=disk, now=timezone.now())


def test_a_poisoned_update_waits_with_its_reasons_and_figures_and_the_rest_counts(season, poisoned, disk):
    looked_at = screened(season, disk)

    assert looked_at == set(Update.objects.values_list("pk", flat=True))
    poisoned.refresh_from_db()
    assert (poisoned.status, poisoned.code) == (UpdateStatus.QUARANTINED, "update_outlier")
    assert poisoned.figures["reasons"] == ["far_longer", "against_the_others"]
    assert poisoned.figures["norm_ratio"] > 3
    assert poisoned.figures["cosine"] < -0.1
    honest = Update.objects.accepted()
    assert honest.count() == HONEST
    assert all(update.figures["reasons"] == [] for update in honest)
    assert AuditEvent.objects.get(entity=f"training.update {poisoned.pk}").reason == "far_longer, against_the_others"
    receipt = receipts_for(node=poisoned.node, digests=[poisoned.digest])[0]
    assert (receipt.accepted, receipt.code) == (True, "")


def test_looking_again_sets_nothing_else_aside(season, poisoned, disk):
    screened(season, disk)
    before = list(Update.objects.values("pk", "status", "code", "round"))
    screened(season, disk)
    assert list(Update.objects.values("pk", "status", "code", "round")) == before


def test_a_released_update_counts_and_is_not_set_aside_again(season, poisoned, disk):
    screened(season, disk)
    poisoned.refresh_from_db()
    update_release(update=poisoned, actor="Гулнора", reason="checked by telephone", now=timezone.now())
    screened(season, disk)
    poisoned.refresh_from_db()
    assert (poisoned.status, poisoned.code) == (UpdateStatus.ACCEPTED, "")
    assert poisoned.figures["released_by"] == "Гулнора"
    assert poisoned.figures["reasons"]
    row = AuditEvent.objects.filter(entity=f"training.update {poisoned.pk}").latest("pk")
    assert (row.actor, row.old, row.new, row.reason) == ("Гулнора", "quarantined", "accepted", "checked by telephone")


def test_an_update_released_after_its_round_counts_in_the_one_that_collects(season, poisoned, disk):
    round_ = collecting(season)
    round_advance(round_=round_, now=timezone.now(), screened=screened(season, disk))
    assert round_.status == "aggregating"
    poisoned.refresh_from_db()
    assert poisoned.round == round_
    update_release(update=poisoned, actor="Гулнора", reason="", now=timezone.now())
    poisoned.refresh_from_db()
    assert poisoned.round == collecting(season) != round_


def test_a_rejected_update_stays_refused_says_for_what_it_was_set_aside_and_leaves_no_bytes(
    season, poisoned, disk, django_capture_on_commit_callbacks
):
    screened(season, disk)
    assert kept_path(update=poisoned, disk=disk).exists()
    poisoned.refresh_from_db()
    with django_capture_on_commit_callbacks(execute=True):
        update_reject(update=poisoned, disk=disk, actor="Гулнора", reason="poison", now=timezone.now())
    assert not kept_path(update=poisoned, disk=disk).exists()
    poisoned.refresh_from_db()
    assert (poisoned.status, poisoned.code) == (UpdateStatus.REFUSED, "update_outlier")
    with pytest.raises(StatusMoveIllegal):
        update_release(update=poisoned, actor="Гулнора", reason="", now=timezone.now())
    poisoned.refresh_from_db()
    assert poisoned.status == UpdateStatus.REFUSED


def test_an_update_of_a_season_that_no_longer_collects_cannot_be_released(season, poisoned, disk):
    screened(season, disk)
    poisoned.refresh_from_db()
    season_close(season=season, actor="test", reason="test", now=timezone.now())
    round_advance(round_=collecting(season), now=timezone.now())
    with pytest.raises(SeasonClosed):
        update_release(update=poisoned, actor="Гулнора", reason="", now=timezone.now())
    poisoned.refresh_from_db()
    assert poisoned.status == UpdateStatus.QUARANTINED


def test_a_school_whose_own_held_out_labels_got_worse_waits(season, schools, disk):
    worse = LocalScores(labels=6, nats_before=1.0, nats_after=2.0, preferred_before=0.8, preferred_after=0.2)
    update = hand_in(schools[0], season, disk, 0, scores=worse)
    screened(season, disk)
    update.refresh_from_db()
    assert update.figures["reasons"] == ["worse_on_own_labels"]


def test_a_person_sees_the_reasons_in_words_and_decides_by_two_buttons(season, poisoned, disk, admin_client):
    page = "/admin/training/update/"
    assert "reject" not in admin_client.get(page).content.decode()
    screened(season, disk)
    shown = admin_client.get(f"{page}{poisoned.pk}/change/").content.decode()
    with translation.override("tg"):
        assert all(translation.gettext(REASONS[reason]) in shown for reason in ("far_longer", "against_the_others"))
    for action, status in (("release", "accepted"), ("release", "accepted")):
        admin_client.post(page, {"action": action, "_selected_action": [poisoned.pk]})
        poisoned.refresh_from_db()
        assert poisoned.status == status
    assert AuditEvent.objects.filter(entity=f"training.update {poisoned.pk}", actor="admin").count() == 1


def test_a_person_refuses_by_the_other_button(season, poisoned, disk, admin_client):
    screened(season, disk)
    admin_client.post("/admin/training/update/", {"action": "reject", "_selected_action": [poisoned.pk]})
    poisoned.refresh_from_db()
    assert poisoned.status == UpdateStatus.REFUSED
    assert AuditEvent.objects.filter(entity=f"training.update {poisoned.pk}", actor="admin").count() == 1


def test_one_update_is_judged_with_a_reason_and_once(season, poisoned, disk, admin_client):
    screened(season, disk)
    page = f"/admin/training/update/{poisoned.pk}/judge/"
    assert "error" in admin_client.post(page, {"verdict": "release", "reason": " "}).content.decode()
    poisoned.refresh_from_db()
    assert poisoned.status == UpdateStatus.QUARANTINED
    answer = admin_client.post(page, {"verdict": "release", "reason": "asked them"})
    assert answer.url == f"/admin/training/update/{poisoned.pk}/change/"
    poisoned.refresh_from_db()
    assert (poisoned.status, AuditEvent.objects.latest("pk").reason) == (UpdateStatus.ACCEPTED, "asked them")
    shown = admin_client.get(answer.url).content.decode()
    with translation.override("tg"):
        assert ("/judge/" in shown, translation.gettext(REASONS["far_longer"]) in shown) == (False, True)
    again = admin_client.post(page, {"verdict": "reject", "reason": "no"}, follow=True)
    assert [message.level_tag for message in again.context["messages"]] == ["error"]
    poisoned.refresh_from_db()
    assert poisoned.status == UpdateStatus.ACCEPTED


def test_what_a_service_refuses_is_told_on_the_page_that_judges(season, poisoned, disk, admin_client):
    screened(season, disk)
    season_close(season=season, actor="test", reason="", now=timezone.now())
    round_advance(round_=collecting(season), now=timezone.now())
    page = f"/admin/training/update/{poisoned.pk}/judge/"
    answer = admin_client.post(page, {"verdict": "release", "reason": "asked them"})
    assert answer.context["form"].non_field_errors()
    poisoned.refresh_from_db()
    assert poisoned.status == UpdateStatus.QUARANTINED


def test_each_figure_stands_beside_the_middle_of_the_others(season, poisoned, disk):
    screened(season, disk)
    poisoned.refresh_from_db()
    norms = sorted(Update.objects.exclude(pk=poisoned.pk).values_list("figures__norm", flat=True))
    with translation.override("en"):
        shown = {figure.words: figure for figure in figures_beside(poisoned)}
    assert shown["length"].own == f"{poisoned.figures['norm']:.3g}"
    assert shown["length"].usual == f"{(norms[2] + norms[3]) / 2:.3g}"
    assert shown["gain on held-out labels, nats a token"].own == ""


def test_a_person_who_may_only_look_gets_no_button(season, poisoned, disk, client):
    screened(season, disk)
    client.force_login(account("looker", Role.AUDITOR))
    place = "/admin/training/update/"
    assert "/judge/" not in client.get(f"{place}{poisoned.pk}/change/").content.decode()
    client.post(place, {"action": "release", "_selected_action": [poisoned.pk]})
    assert client.post(f"{place}{poisoned.pk}/judge/", {"verdict": "release", "reason": "?"}).status_code == 403
    poisoned.refresh_from_db()
    assert poisoned.status == UpdateStatus.QUARANTINED


def test_a_robust_season_waits_for_as_many_updates_as_its_rule_needs(schools, disk):
    with pytest.raises(ModeTermsInvalid) as refused:
        season_robust(wanted=4)
    assert refused.value.fields == {"field": "fewest", "value": 5}
    assert not Season.objects.exists()
    season = season_robust(wanted=HONEST, base=Release.objects.get())
    for number, school in enumerate(schools[:4]):
        hand_in(school, season, disk, number)
    round_ = collecting(season)
    progress = round_advance(round_=round_, now=round_.closes_at)
    assert (progress.due, round_.minimum) == (Due.EXTEND, 5)


def test_every_reason_and_figure_has_words():
    assert set(REASONS) == set(OutlierReason)
    assert set(FIGURES) == {field.name for field in dataclasses.fields(OutlierFigures)} - {"node_id"} | BESIDE


def test_the_tick_sets_aside_before_it_combines(season, schools, poisoned, disk):
    """Six honest updates and a poisoned one: seven would be enough, and six are."""
    Round.objects.filter(season=season).update(wanted=HONEST + 1)
    round_tick()
    poisoned.refresh_from_db()
    assert poisoned.status == UpdateStatus.QUARANTINED
    assert collecting(season).updates.accepted().count() == HONEST


def test_a_round_abandoned_while_it_collected_is_looked_at_before_it_is_combined_after_all(
    season, poisoned, disk, monkeypatch
):
    made = []
    monkeypatch.setattr(candidate, "candidate_make", lambda *, round_, **_: made.append(round_) or release_make(2))
    round_ = collecting(season)
    round_abandon(round_=round_, reason="test", actor="a", now=timezone.now())
    round_retry(round_=round_, actor="a", now=timezone.now())
    round_tick()
    poisoned.refresh_from_db()
    assert (made, round_.updates.accepted().count()) == ([round_], HONEST)
    assert (poisoned.status, poisoned.figures["reasons"]) == ("quarantined", ["far_longer", "against_the_others"])


def test_an_abandoned_round_that_may_not_be_combined_is_not_looked_at(season, poisoned, disk):
    round_ = collecting(season)
    round_abandon(round_=round_, reason="test", actor="a", now=timezone.now())
    Round.objects.filter(status=RoundStatus.COLLECTING).update(status=RoundStatus.AGGREGATING)
    with pytest.raises(RoundBlocked):
        round_retry(round_=round_, actor="a", now=timezone.now())
    assert set(Update.objects.values_list("status", flat=True)) == {"accepted"}


@pytest.mark.parametrize("mode", [SeasonMode.PLAIN, SeasonMode.PRIVATE])
def test_only_a_robust_season_compares_updates_with_one_another(schools, disk, mode):
    season = season_small(wanted=HONEST) if mode == SeasonMode.PLAIN else season_private(wanted=HONEST)
    for number, school in enumerate(schools):
        hand_in(school, season, disk, number, factor=-5.0 if number == HONEST else 1.0)
    screened(season, disk)
    assert Update.objects.accepted().count() == HONEST + 1
    assert not Update.objects.exclude(figures={}).exists()


def test_a_robust_rounds_card_explains_its_regions_and_names_no_school(season, schools, poisoned, disk):
    round_ = collecting(season)
    round_advance(round_=round_, now=timezone.now(), screened=screened(season, disk))
    figures = round_combine(round_=round_, disk=disk).figures
    (pool,) = figures["regions"]
    assert (pool["schools"], pool["trimmed"], pool["weight"], pool["clipped"]) == (HONEST, 2, 1.0, 0)
    assert not [school.node_id for school in schools if school.node_id in str(figures)]

"""Seasons: rounds follow one another, adapters are adopted, and schools learn from the release that they run."""

import json
from datetime import timedelta

import numpy as np
import pytest
from django.core.management import call_command
from django.utils import timezone

from central.releases.contributions import contributions_held
from central.releases.errors import BaseNotReady
from central.releases.services import release_folder, release_revoke, release_sign
from central.schools.models import AuditEvent, Node
from central.training.candidate import candidate_make
from central.training.errors import RoundBlocked, SeasonUnderWay
from central.training.models import Plan, Round, RoundStatus, Season, SeasonStatus, Update
from central.training.offers import plan_for
from central.training.plan_settings import NaturalTerms
from central.training.plans import plan_of
from central.training.rounds import candidate_pass_over, round_advance, round_aggregate, round_retry
from central.training.seasons import season_close, season_follow
from central.training.shared import seasons_shared
from central.trust_root import director_key
from federation.adapter_file import adapter_read
from federation.basis import frozen_a
from federation.wire.contributions import LIST_NAME, versions_find
from tests.central.school import SimulatedSchool, rating_parcel
from tests.central.seasons import SIZES, collecting, season_small, take_in, update_of
from tests.central.test_candidate import Gate
from tests.central.test_rollouts import release_make


@pytest.fixture
def season(db, keys):
    return season_small(wanted=1)


def tick(season, disk, gate=None, now=None):
    """Do what the worker does with the season at each of its looks."""
    at = now or timezone.now()
    season_follow(season=Season.objects.get(pk=season.pk), key=director_key(), now=at)
    for round_ in Round.objects.filter(season=season, status=RoundStatus.COLLECTING):
        round_advance(round_=round_, now=at)
    for round_ in Round.objects.filter(season=season, status=RoundStatus.AGGREGATING):
        round_aggregate(
            round_=round_,
            disk=disk,
            clock=lambda: at,
            make=lambda each: candidate_make(round_=each, disk=disk, clock=lambda: at, measure=gate or Gate()),
        )


def sign(round_, disk):
    round_.refresh_from_db()
    release_sign(release=round_.release, disk=disk, actor="test", now=timezone.now())


def numbered(season, number):
    return Round.objects.get(season=season, number=number)


def b_of(round_, disk):
    """Return the one number that fills B of the round's adapter."""
    round_.refresh_from_db()
    path = release_folder(release=round_.release, disk=disk) / "adapter.bin"
    adapter = adapter_read(path, base_digest=round_.season.base.digest)
    values = np.concatenate([adapter.b[slot].ravel() for slot in SIZES])
    assert np.ptp(values) < 0.01
    return float(values.mean())


def plan_offered(school, now=None):
    node = Node.objects.get(pk=school.node_id)
    return plan_for(node=node, now=now or timezone.now(), shared=seasons_shared.now())


def runs(school, release):
    school.running = release.digest
    school.check_in()


def test_a_second_adapter_starts_from_the_first_and_counts_what_was_learnt_from_either(
    school, other_school, season, disk
):
    runs(school, season.base)
    runs(other_school, season.base)
    early = update_of(other_school, season, scale=0.4)
    take_in(update_of(school, season, scale=0.2), disk)
    tick(season, disk)
    first = numbered(season, 1)
    sign(first, disk)
    tick(season, disk)
    first.refresh_from_db()
    assert (first.version, first.status) == (1, RoundStatus.COMPLETED)
    assert first.release.card["version"] == 1
    assert b_of(first, disk) == pytest.approx(0.2, rel=0.02)

    # The school that was in the dark answers the plan of the base; it weighs less for it.
    late = take_in(early, disk)
    assert (late.status, late.staleness, late.round.number) == ("accepted", 1, 2)
    runs(school, first.release)
    plan = plan_offered(school)
    document = plan_of(plan)
    assert (document.start, document.version) == (first.release.digest, 1)
    assert (document.season_id, document.seed) == (season.season_id, season.season_id)
    fresh = take_in(update_of(school, season, plan=plan, scale=0.1), disk)
    assert (fresh.staleness, fresh.round) == (0, late.round)
    tick(season, disk)
    second = numbered(season, 2)
    # Of equal labels, 1/√2 against 1.
    stale = (1 / np.sqrt(2)) / (1 + 1 / np.sqrt(2))
    expected = 0.2 + stale * 0.4 + (1 - stale) * 0.1
    assert b_of(second, disk) == pytest.approx(expected, rel=0.02)
    card = second.release.card
    assert (card["version"], card["rounds"], card["start"]) == (2, [1, 2], first.release.digest)
    assert (card["updates"], card["labels"], card["staleness"]) == (2, 4, {"0": 1, "1": 1})
    assert card["schools"] == {"Хатлон": 2}
    assert set(contributions_held(second.release)) == set(Update.objects.values_list("digest", flat=True))
    assert set(second.release.contributions) == {late.digest, fresh.digest}
    listed = (release_folder(release=second.release, disk=disk) / LIST_NAME).read_bytes()
    shipped_first = dict.fromkeys(first.release.contributions, first.release.version)
    shipped_now = dict.fromkeys((late.digest, fresh.digest), second.release.version)
    everything = Update.objects.values_list("digest", flat=True)
    assert versions_find(listed, everything) == shipped_first | shipped_now
    assert school.node_id not in json.dumps(card)


def test_a_refused_candidate_leaves_the_season_where_it_was_and_its_schools_are_asked_anew(school, season, disk):
    runs(school, season.base)
    take_in(update_of(school, season, scale=0.3), disk)
    assert plan_offered(school) is None
    tick(season, disk, gate=Gate(unrelated_loss=0.5))
    first = numbered(season, 1)
    assert (first.release.status, first.version) == ("refused", None)
    tick(season, disk, now=timezone.now() + timedelta(seconds=1))
    again = plan_offered(school)
    assert (plan_of(again).start, plan_of(again).version, Plan.objects.count()) == ("", 0, 2)
    take_in(update_of(school, season, plan=again, scale=0.1), disk)
    tick(season, disk)
    assert b_of(numbered(season, 2), disk) == pytest.approx(0.1, rel=0.02)
    tick(season, disk, now=timezone.now() + timedelta(seconds=2))
    assert Plan.objects.count() == 2


def test_while_a_candidate_waits_for_its_signature_the_next_round_goes_on_collecting(
    school, other_school, season, disk
):
    take_in(update_of(school, season, scale=0.2), disk)
    tick(season, disk)
    take_in(update_of(other_school, season, scale=0.4), disk)
    tick(season, disk)
    assert collecting(season).number == 2
    sign(numbered(season, 1), disk)
    tick(season, disk)
    assert numbered(season, 2).status == RoundStatus.COMPLETED
    # One adapter further than its plan, alone in its round: it weighs all there is.
    assert numbered(season, 2).updates.get().staleness == 1
    assert b_of(numbered(season, 2), disk) == pytest.approx(0.6, rel=0.02)


def test_a_candidate_that_nobody_signs_by_the_next_deadline_is_passed_over_and_nothing_is_lost(
    school, other_school, season, disk
):
    take_in(update_of(school, season, scale=0.2), disk)
    tick(season, disk)
    take_in(update_of(other_school, season, scale=0.4), disk)
    tick(season, disk, now=timezone.now() + timedelta(days=15))
    first, second = numbered(season, 1), numbered(season, 2)
    assert (first.release.status, first.release.why) == ("refused", "passed_over")
    assert not first.updates.exists()
    assert second.release.status == "awaiting_signature"
    assert second.updates.accepted().count() == 2
    assert b_of(second, disk) == pytest.approx(0.3, rel=0.02)
    assert Plan.objects.count() == 1


def test_a_person_may_go_on_without_a_candidate_but_not_without_a_signed_one(school, season, disk):
    take_in(update_of(school, season), disk)
    tick(season, disk)
    first = numbered(season, 1)
    candidate_pass_over(round_=first, actor="a", now=timezone.now())
    assert collecting(season).updates.count() == 1
    tick(season, disk)
    sign(numbered(season, 2), disk)
    with pytest.raises(RoundBlocked):
        candidate_pass_over(round_=numbered(season, 2), actor="a", now=timezone.now())
    assert numbered(season, 2).release.status == "ready"
    with pytest.raises(RoundBlocked):
        round_retry(round_=numbered(season, 2), actor="a", now=timezone.now())


def test_a_season_with_momentum_goes_on_in_the_direction_of_its_last_step(school, keys, disk):
    season = season_small(wanted=1, momentum=0.5)
    take_in(update_of(school, season, scale=0.2), disk)
    tick(season, disk)
    sign(numbered(season, 1), disk)
    tick(season, disk)
    take_in(update_of(school, season, scale=0.1), disk)
    tick(season, disk)
    assert b_of(numbered(season, 2), disk) == pytest.approx(0.2 + 0.5 * 0.2 + 0.1, rel=0.02)


def test_natural_steps_make_a_step_of_the_servers_length_however_short_they_are_together(school, keys, disk):
    natural = NaturalTerms(steps=1, longest=4.0, server_length=2.0, hold=0.0)
    season = season_small(wanted=1, natural=natural)
    plan = plan_of(season.plans.get())
    assert (plan.max_steps, plan.longest_step, plan.anchors) == (1, 4.0, ())
    take_in(update_of(school, season, scale=0.01), disk)
    tick(season, disk)
    numbers = 2 * sum(size.d_out for size in SIZES.values())
    assert b_of(numbered(season, 1), disk) == pytest.approx(2.0 / np.sqrt(numbers), rel=0.02)


def test_natural_steps_of_the_server_shorten_with_each_adapter_that_was_adopted(school, keys, disk):
    natural = NaturalTerms(steps=1, longest=4.0, server_length=2.0, hold=0.0, full_rounds=1)
    season = season_small(wanted=1, natural=natural)
    for number in (1, 2):
        take_in(update_of(school, season, scale=0.01), disk)
        tick(season, disk)
        sign(numbered(season, number), disk)
        tick(season, disk)
    numbers = 2 * sum(size.d_out for size in SIZES.values())
    assert b_of(numbered(season, 2), disk) == pytest.approx((2.0 + 1.0) / np.sqrt(numbers), rel=0.02)


def test_schools_learn_in_more_directions_than_the_adapter_has_from_one_round_to_the_next(school, keys, disk):
    season = season_small(wanted=1, directions=3)
    for number, scale in ((1, 0.2), (2, 0.1)):
        assert plan_of(season.plans.first()).rank == 3
        take_in(update_of(school, season, scale=scale), disk)
        tick(season, disk)
        sign(numbered(season, number), disk)
        tick(season, disk)
    path = release_folder(release=numbered(season, 2).release, disk=disk) / "adapter.bin"
    adapter = adapter_read(path, base_digest=season.base.digest)
    assert adapter.rank == 2
    for slot, size in SIZES.items():
        # Every row of what was sent is alike, so its product has one direction and the cut loses nothing.
        learnt = frozen_a(seed=season.season_id, slot=slot, d_in=size.d_in, rank=3) @ np.full((3, size.d_out), 0.3)
        np.testing.assert_allclose(adapter.a[slot] @ adapter.b[slot], learnt, atol=0.02 * np.abs(learnt).max())


def test_an_update_that_is_too_far_behind_is_refused_and_its_plan_is_not_offered(school, keys, disk):
    season = season_small(wanted=1, max_staleness=0)
    old = update_of(school, season, counter=9)
    other = season.plans.get()
    Round.objects.create(
        round_id="x",
        season=season,
        number=99,
        wanted=1,
        minimum=1,
        opened_at=timezone.now(),
        closes_at=timezone.now(),
        ended_at=timezone.now(),
        status=RoundStatus.COMPLETED,
        release=release_make(7, kind="adapter", base=season.base),
        version=1,
    )
    refused = take_in(old, disk)
    assert (refused.status, refused.code) == ("refused", "update_too_stale")
    assert not list(disk.updates.rglob("*.update"))
    runs(school, season.base)
    assert plan_offered(school) is None
    assert other.updates.get() == refused


def test_a_school_is_asked_only_from_what_it_runs(school, season, disk):
    assert plan_offered(school) is None
    runs(school, release_make(5))
    assert plan_offered(school) is None
    runs(school, season.base)
    assert plan_offered(school) == season.plans.get()
    # Under the adapter of an earlier season the base lies on its disk: it begins there.
    runs(school, release_make(6, kind="adapter", base=season.base))
    assert plan_offered(school) == season.plans.get()
    assert plan_offered(school, now=timezone.now() + timedelta(days=61)) is None


def test_a_plan_whose_time_is_over_is_followed_by_a_new_one_for_the_same_start(school, season, disk):
    later = timezone.now() + timedelta(days=61)
    tick(season, disk, now=later)
    runs(school, season.base)
    assert plan_offered(school, now=later) == season.plans.first()
    assert season.plans.count() == 2


def test_a_revoked_adapter_is_no_start_and_the_next_candidate_stands_on_the_one_before(
    school, other_school, season, disk
):
    for number, (each, scale) in enumerate([(school, 0.2), (other_school, 0.4)], start=1):
        take_in(update_of(each, season, scale=scale), disk)
        tick(season, disk)
        sign(numbered(season, number), disk)
        tick(season, disk)
    second = numbered(season, 2)
    assert (second.version, b_of(second, disk)) == (2, pytest.approx(0.6, rel=0.02))
    release_revoke(release=second.release, disk=disk, actor="a", reason="bad", now=timezone.now())
    runs(school, second.release)
    assert plan_offered(school) is None
    first = numbered(season, 1)
    runs(school, first.release)
    take_in(update_of(school, season, plan=plan_offered(school), scale=0.1), disk)
    tick(season, disk)
    third = numbered(season, 3)
    assert third.updates.get().staleness == 1
    assert b_of(third, disk) == pytest.approx(0.3, rel=0.02)


def test_one_base_has_one_open_season_and_only_a_base_in_force_has_one(season):
    with pytest.raises(SeasonUnderWay):
        season_small(base=season.base)
    with pytest.raises(BaseNotReady):
        season_small(base=release_make(3, status="awaiting_signature"))
    assert (Season.objects.count(), Round.objects.count(), Plan.objects.count()) == (1, 1, 1)
    season_close(season=season, actor="a", reason="over", now=timezone.now())
    assert season_small(base=season.base).pk != season.pk


def test_a_closed_season_adopts_what_is_signed_later_and_asks_nobody(school, season, disk):
    take_in(update_of(school, season), disk)
    tick(season, disk)
    season_close(season=season, actor="a", reason="over", now=timezone.now())
    sign(numbered(season, 1), disk)
    tick(season, disk)
    assert numbered(season, 1).version == 1
    assert Plan.objects.count() == 1
    assert AuditEvent.objects.filter(new="version 1").exists()
    runs(school, numbered(season, 1).release)
    assert plan_offered(school) is None


def test_the_gate_is_given_corrections_of_the_round_and_a_few_of_every_region(client, school, keys, season, disk):
    far = SimulatedSchool.enrolled(client, name="Мактаби №9")
    node = Node.objects.get(pk=far.node_id)
    node.school.region = "ВМКБ"
    node.school.save()
    school.receipt(rating_parcel(1), rating_parcel(2))
    far.receipt(*(rating_parcel(number) for number in range(1, 12)))
    take_in(update_of(school, season), disk)
    gate = Gate()
    tick(season, disk, gate=gate)
    seen = [(pair.region, pair.is_learnt, pair.subject) for pair in gate.corrections]
    assert seen == [("Хатлон", True, "география")] * 2 + [("ВМКБ", False, "география")] * 8


def test_commands_open_show_and_close_a_season(keys, db, capsys):
    base = release_make(2, card={"slots": [{"name": "layers.0.o", "d_in": 4, "d_out": 4}]})
    call_command("season_open", "--base", "2", "--wanted", "3", "--json")
    opened = json.loads(capsys.readouterr().out)
    assert (opened["base"], opened["mode"], opened["version"]) == (base.digest, "plain", 0)
    assert [each["start"] for each in opened["plans"]] == [""]
    assert [(each["number"], each["wanted"], each["accepted"]) for each in opened["rounds"]] == [(1, 3, 0)]
    call_command("season_show", "--season", opened["season_id"])
    assert capsys.readouterr().out == "open, ffa-lora, plain: 0 adapters adopted; round 1 collecting, 0 of 3 updates\n"
    call_command("season_close", "--season", opened["season_id"], "--reason", "enough")
    assert (Season.objects.get().status, Season.objects.get().why_closed) == (SeasonStatus.CLOSED, "enough")

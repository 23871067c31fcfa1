"""The privacy ledger: what each school has spent is exact, a spent budget ends its part, and no row ever changes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from central.schools.models import AuditEvent
from central.schools.models_audit import AppendOnlyViolation
from central.training.combine import round_combine
from central.training.models import NoiseSeed, PrivacyCharge, Round, RoundStatus, Season, Update, UpdateStatus
from central.training.offers import plan_for
from central.training.privacy_ledger import noise_seeds_forget, round_charge, round_epsilon, school_spending
from central.training.rounds import round_abandon, round_advance, round_retry
from central.training.shared import seasons_shared
from tests.central.cuts import cut_at, lines_of
from tests.central.modes import hand_in, school_of, season_private
from tests.central.seasons import collecting, season_small
from tests.central.test_rollouts import release_make
from tests.learning.test_private import epsilon_closed

ROOT = Path(__file__).parents[2]
TRAINING = ROOT / "central" / "training"


@pytest.fixture
def season(db, keys):
    return season_private()


@pytest.fixture
def full(season, school, other_school, disk):
    """A private round that has what it wants, and is about to be combined."""
    for number, each in enumerate((school, other_school)):
        hand_in(each, season, disk, number)
    round_ = collecting(season)
    round_advance(round_=round_, now=timezone.now())
    assert round_.status == RoundStatus.AGGREGATING
    return round_


def test_every_school_that_a_private_round_counts_is_charged_the_closed_forms_epsilon(full, school, season):
    charges = PrivacyCharge.objects.filter(round=full)
    assert charges.count() == 2
    charge = charges.get(school=school_of(school))
    assert charge.epsilon == pytest.approx(epsilon_closed([1.0], 1e-5), rel=1e-6)
    assert (charge.noise_multiplier, charge.clip_norm, charge.sigma) == (1.0, 10.0, 64 * 10.0)
    assert (charge.rounds, charge.delta) == (1, 1e-5)
    assert round_epsilon(full) == charge.epsilon
    # A private round never compares updates.
    assert not [update.figures for update in full.updates.all() if update.figures]


def test_a_round_that_is_not_private_charges_nobody(db, keys, school, disk):
    season = season_small(wanted=1)
    hand_in(school, season, disk, 1)
    round_advance(round_=collecting(season), now=timezone.now())
    assert not PrivacyCharge.objects.exists()
    assert round_epsilon(season.rounds.first()) is None


def test_a_round_that_is_combined_after_all_charges_no_school_twice(full, disk):
    round_abandon(round_=full, reason="test", now=timezone.now())
    before = list(PrivacyCharge.objects.values())
    round_retry(round_=full, actor="Гулнора", now=timezone.now())
    assert list(PrivacyCharge.objects.values()) == before


def test_wherever_a_worker_is_cut_a_round_is_settled_with_all_its_charges_or_with_none(
    season, school, other_school, disk
):
    for number, each in enumerate((school, other_school)):
        hand_in(each, season, disk, number)
    round_ = collecting(season)

    def advance():
        round_advance(round_=Round.objects.select_related("season").get(pk=round_.pk), now=timezone.now())

    def settled():
        return Round.objects.get(pk=round_.pk).status, PrivacyCharge.objects.filter(round=round_).count()

    with transaction.atomic():
        lines = lines_of(advance, under=TRAINING)
        transaction.set_rollback(True)
    seen = set()
    for line in lines:
        with transaction.atomic():
            assert cut_at(advance, line, under=TRAINING)
            seen.add(settled())
            advance()
            assert settled() == (RoundStatus.AGGREGATING, 2)
            transaction.set_rollback(True)
    assert (RoundStatus.COLLECTING, 0) in seen
    assert seen <= {(RoundStatus.COLLECTING, 0), (RoundStatus.AGGREGATING, 2)}


def test_a_combining_that_is_done_anew_gives_the_same_noised_adapter(full, disk):
    first, again = round_combine(round_=full, disk=disk), round_combine(round_=full, disk=disk)
    for slot, array in first.step.adapter.b.items():
        np.testing.assert_array_equal(array, again.step.adapter.b[slot])
    assert first.figures["sigma"] == 64 * 10.0 / 10.0
    assert first.figures["epsilon"] == pytest.approx(4.377, abs=1e-3)


def test_the_secret_of_the_noise_is_forgotten_once_the_sum_is_made(full, disk):
    round_combine(round_=full, disk=disk)
    assert noise_seeds_forget() == 0
    assert len(bytes(NoiseSeed.objects.get().value)) == 32
    Round.objects.filter(pk=full.pk).update(
        status=RoundStatus.COMPLETED, ended_at=timezone.now(), release=release_make(9)
    )
    assert noise_seeds_forget() == 1
    assert not NoiseSeed.objects.exists()


def test_a_school_whose_budget_is_spent_is_neither_asked_nor_counted(full, season, school, disk):
    """One more round would take its ε from 4.4 to 6.6, past 5."""
    node = Update.objects.filter(round=full).first().node
    node.capabilities, node.running = ["train"], season.base.digest
    assert plan_for(node=node, now=timezone.now(), shared=seasons_shared.now()) is None
    Season.objects.filter(pk=season.pk).update(mode_settings=season.mode_settings | {"budget": 7.0})
    Update.objects.filter(node=node).update(status=UpdateStatus.REFUSED, code="test")
    assert plan_for(node=node, now=timezone.now(), shared=seasons_shared.now()) is not None
    Season.objects.filter(pk=season.pk).update(mode_settings=season.mode_settings)
    before = list(PrivacyCharge.objects.values())

    refused = hand_in(school, season, disk, 7)

    assert (refused.status, refused.code) == (UpdateStatus.REFUSED, "privacy_budget_spent")
    assert not list(disk.updates.glob(f"*/{refused.digest}.update"))
    assert list(PrivacyCharge.objects.values()) == before


def test_an_update_that_waits_to_be_counted_is_part_of_what_the_school_has_spent(season, school, disk):
    assert school_spending(school=school_of(school), season=season).epsilon == 0.0
    hand_in(school, season, disk, 1)
    other = season_private(base=release_make(2))
    assert school_spending(school=school_of(school), season=other).epsilon == pytest.approx(4.377, abs=1e-3)
    assert hand_in(school, other, disk, 2).code == "privacy_budget_spent"


def test_an_update_whose_budget_went_meanwhile_waits_for_a_person_and_costs_nothing(season, school, disk):
    update = hand_in(school, season, disk, 1)
    other = season_private(base=release_make(2))
    PrivacyCharge.objects.create(
        school=school_of(school),
        round=collecting(other),
        noise_multiplier=1.0,
        clip_norm=1.0,
        sigma=1.0,
        epsilon=4.377,
        delta=1e-5,
        rounds=1,
        charged_at=timezone.now(),
    )
    round_charge(round_=collecting(season), now=timezone.now())
    update.refresh_from_db()
    assert (update.status, update.code) == (UpdateStatus.QUARANTINED, "privacy_budget_spent")
    assert PrivacyCharge.objects.count() == 1
    assert AuditEvent.objects.filter(entity=f"training.update {update.pk}", new="quarantined").count() == 1


def test_a_row_of_the_ledger_can_be_neither_changed_nor_deleted_nor_doubled(full, school):
    charge = PrivacyCharge.objects.filter(round=full).first()
    charge.epsilon = 0.1
    for attempt in (charge.save, charge.delete, PrivacyCharge.objects.all().delete):
        with pytest.raises(AppendOnlyViolation):
            attempt()
    with pytest.raises(AppendOnlyViolation):
        PrivacyCharge.objects.update(epsilon=0.1)
    charge.pk = None
    charge._state.adding = True
    with pytest.raises(IntegrityError), transaction.atomic():
        charge.save()
    assert PrivacyCharge.objects.filter(round=full).count() == 2


def test_the_ledger_can_be_read_on_its_page_and_nothing_more(full, admin_client):
    shown = admin_client.get("/admin/training/privacycharge/").content.decode()
    assert "4,377" in shown or "4.377" in shown
    assert admin_client.get("/admin/training/privacycharge/add/").status_code == 403


SETUP = """
from datetime import timedelta
from django.utils import timezone
from central.releases.models import Release
from central.schools.invitations import school_invite
from central.training.models import Plan, Round, Season, Update
now = timezone.now()
nodes = [school_invite(name=f"Мактаби №{n}", region="", actor="test", now=now).node for n in range(6)]
for number in (1, 2):
    base = Release.objects.create(kind="base", version=number, title="b", status="ready", digest=f"{number:064x}",
        index_bytes=b"{}", created_by="test", created_at=now)
    season = Season.objects.create(season_id=str(number), base=base, mode="private", opened_by="test", opened_at=now,
        mode_settings={"noise_multiplier": 1.0, "labels_expected": 10.0, "budget": 5.0}, wanted=6)
    plan = Plan.objects.create(plan_id=str(number), season=season, envelope=b"", issued_at=now, closes_at=now)
    round_ = Round.objects.create(round_id=str(number), season=season, number=1, wanted=6, minimum=1,
        opened_by="test", opened_at=now, closes_at=now + timedelta(days=1))
    for place, node in enumerate(nodes):
        Update.objects.create(plan=plan, round=round_, node=node, counter=1, status="accepted", digest=f"{place:064x}",
            size_bytes=1, received_at=now)
"""
CHARGE = """
import time
from django.utils import timezone
from central.training.models import Round
from central.training.privacy_ledger import round_charge
round_ = Round.objects.select_related("season").get(round_id="{number}")
time.sleep(max(0.0, {start} - time.time()))
round_charge(round_=round_, now=timezone.now())
"""
COUNTED = """
from central.training.models import PrivacyCharge, Update
print(PrivacyCharge.objects.count(), PrivacyCharge.objects.values("school").distinct().count(),
    Update.objects.filter(status="quarantined", code="privacy_budget_spent").count(),
    Update.objects.filter(status="accepted").count(), sep=",")
"""


def _manage(environment, *words):
    command = [sys.executable, "manage.py", "central", *words]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8")


def _output(process):
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output.strip()


def _shell(environment, code):
    return _manage(environment, "shell", "-v", "0", "-c", code)


def _races(environment):
    """Return charges, schools charged, updates set aside and updates counted, once two rounds have raced."""
    _output(_manage(environment, "migrate", "-v", "0"))
    _output(_shell(environment, SETUP))
    start = time.time() + 8
    for racer in [_shell(environment, CHARGE.format(number=number, start=start)) for number in (1, 2)]:
        _output(racer)
    return _output(_shell(environment, COUNTED)).splitlines()[-1]


def _environment(root, url):
    return {**os.environ, "SORO_CENTRAL_ROOT": str(root), "SORO_CENTRAL_DATABASE_URL": url, "SORO_CENTRAL_FLEET": ""}


@pytest.mark.slow
def test_two_rounds_that_charge_the_same_schools_at_once_pass_no_budget_on_sqlite(tmp_path):
    assert _races(_environment(tmp_path, "")) == "6,6,6,6"


@pytest.mark.slow
def test_two_rounds_that_charge_the_same_schools_at_once_pass_no_budget_on_postgresql(tmp_path, database_url):
    assert _races(_environment(tmp_path, database_url)) == "6,6,6,6"

"""Wherever a worker is cut off, no accepted update is lost and none is counted twice."""

import logging
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import transaction
from django.utils import timezone

import central.training
from central.releases.models import Release
from central.releases.services import release_sign
from central.training.candidate import candidate_make
from central.training.inbox import updates_scan_inbox
from central.training.models import Round, RoundStatus, Season, Update
from central.training.rounds import round_advance, round_aggregate
from central.training.seasons import season_follow
from central.trust_root import director_key
from federation.wire.canonical import sha256_hex
from tests.central.cuts import cut_at, lines_of
from tests.central.seasons import collecting, season_small, update_of
from tests.central.test_candidate import Gate

TRAINING = Path(central.training.__file__).parent
ALL = {"seasons", "rounds"}

pytestmark = pytest.mark.slow


@pytest.fixture
def season(keys, db):
    return season_small()


@pytest.fixture
def contents(school, other_school, season):
    return {each.node_id: update_of(each, season, scale=0.2) for each in (school, other_school)}


def work(disk, *, after=timedelta(0)):
    """Do all that a worker does at one look."""

    def now():
        return timezone.now() + after

    updates_scan_inbox(disk=disk, now=now())
    for season in Season.objects.select_related("base"):
        season_follow(season=season, key=director_key(), now=now())
    for round_ in Round.objects.filter(status=RoundStatus.COLLECTING).select_related("season__base"):
        round_advance(round_=round_, now=now())
    for round_ in Round.objects.filter(status=RoundStatus.AGGREGATING).select_related("season__base", "release__base"):
        round_aggregate(
            round_=round_,
            disk=disk,
            clock=now,
            make=lambda each: candidate_make(round_=each, disk=disk, clock=now, measure=Gate()),
        )


def begin(disk, season, contents):
    """Leave what a Flower run leaves."""
    folder = disk.inbox / collecting(season).round_id
    folder.mkdir(parents=True)
    for node_id, content in contents.items():
        (folder / f"{node_id}-1.update").write_bytes(content)


def clean(disk):
    for folder in (disk.inbox, disk.updates, disk.builds):
        shutil.rmtree(folder, ignore_errors=True)


def assert_nothing_is_lost_or_doubled(season, contents):
    digests = sorted(map(sha256_hex, contents.values()))
    assert sorted(Update.objects.values_list("digest", flat=True)) == digests
    assert set(Update.objects.values_list("status", "round__number")) == {("accepted", 1)}
    first = Round.objects.get(season=season, number=1)
    assert first.status == RoundStatus.COMPLETED
    assert Release.objects.filter(kind="adapter").count() == 1
    assert (first.release.status, sorted(first.release.contributions)) == ("awaiting_signature", digests)
    assert first.release.card["updates"] == 2
    assert collecting(season).number == 2


def test_a_worker_cut_at_any_line_of_a_round_loses_and_doubles_nothing(season, contents, disk, caplog):
    caplog.set_level(logging.CRITICAL)
    lines = []
    # Twice: what a worker reads once and keeps, the cuts below come past with it kept.
    for _ in range(2):
        with transaction.atomic():
            begin(disk, season, contents)
            lines = lines_of(lambda: work(disk), under=TRAINING)
            assert_nothing_is_lost_or_doubled(season, contents)
            transaction.set_rollback(True)
        clean(disk)
    for line in lines:
        with transaction.atomic():
            begin(disk, season, contents)
            assert cut_at(lambda: work(disk), line, under=TRAINING), line
            # Who was cut gave its last sign of life half an hour ago.
            work(disk, after=timedelta(minutes=31))
            work(disk, after=timedelta(minutes=62))
            assert_nothing_is_lost_or_doubled(season, contents)
            transaction.set_rollback(True)
        clean(disk)
    assert len(lines) > 150


def test_a_worker_cut_at_any_line_of_an_adoption_or_a_passing_over_doubles_nothing(
    season, contents, school, other_school, disk, caplog
):
    caplog.set_level(logging.CRITICAL)
    begin(disk, season, contents)
    work(disk)
    first = Round.objects.get(number=1)
    (disk.inbox / collecting(season).round_id).mkdir()
    days = timedelta(days=15)
    for signs in (True, False):
        with transaction.atomic():
            _sign(first, disk, signs)
            lines = lines_of(lambda: work(disk, after=days), under=TRAINING)
            _assert_gone_on(season, signs)
            transaction.set_rollback(True)
        for line in lines:
            with transaction.atomic():
                _sign(first, disk, signs)
                assert cut_at(lambda: work(disk, after=days), line, under=TRAINING), line
                work(disk, after=days + timedelta(minutes=31))
                work(disk, after=days + timedelta(minutes=62))
                _assert_gone_on(season, signs)
                transaction.set_rollback(True)


def _sign(round_, disk, signs):
    round_.refresh_from_db()
    if signs:
        release_sign(release=round_.release, disk=disk, actor="test", now=timezone.now())


def _assert_gone_on(season, signs):
    """Signed: adopted once, with a plan of its own. Unsigned and its successor empty: still there, still unsigned."""
    first = Round.objects.get(season=season, number=1)
    assert first.version == (1 if signs else None)
    assert [plan.version for plan in season.plans.order_by("pk")] == ([0, 1] if signs else [0])
    assert Update.objects.filter(round=first, status="accepted").count() == 2
    assert Release.objects.filter(kind="adapter").count() == 1

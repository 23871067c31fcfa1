"""A round's updates become one adapter, which the gate judges; whatever is cut goes on."""

from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone

from central.releases.gate import AdapterReport, PerplexityPair
from central.releases.models import Release
from central.releases.services import release_build_begin, release_draft_create, release_folder
from central.releases.suite_comparison import SuiteReport
from central.schools.models import AuditEvent
from central.training.candidate import candidate_make
from central.training.models import Round, RoundStatus
from central.training.rounds import round_advance, round_aggregate
from federation.inference.adapter import adapter_read
from federation.inference.suite_run import Outcome
from tests.central.school import rating_parcel
from tests.central.test_rounds import COLUMNS, _open, _take_in, _update

SAME = {language: PerplexityPair(reference=50.0, shipped=50.0) for language in ("tg", "en")}


class Gate:
    """Stands where the engine measures, and remembers what it was given."""

    def __init__(self, **changes):
        self.changes = changes
        self.corrections = []

    def __call__(self, **options):
        self.corrections = options["corrections"]
        adapter_read(options["adapter_file"], base_digest=options["base_digest"])
        fields = {"unrelated_loss": 0.0, "corrections_gain": 2.0, **self.changes}
        names = {suite.name: suite.sha256 for suite in options["suites"]}
        suite = SuiteReport(suites=names, outcomes={"suite.tg/1": Outcome(subject="s", is_right=True)})
        return AdapterReport(perplexity=SAME, unrelated_count=12, corrections_count=1, suite=suite, **fields)


@pytest.fixture
def ended(school, other_school, disk):
    """A round with one update of each school, ready to be aggregated."""
    round_ = _open()
    _take_in(_update(school, round_, scale=0.1), disk)
    _take_in(_update(other_school, round_, scale=0.3), disk)
    round_advance(round_=round_, now=timezone.now())
    return round_


def _aggregate(round_, disk, gate, after=timedelta(0)):
    round_.refresh_from_db()
    round_aggregate(
        round_=round_,
        clock=lambda: timezone.now() + after,
        make=lambda each: candidate_make(round_=each, disk=disk, clock=timezone.now, measure=gate),
    )


def test_two_updates_become_one_adapter_release_that_awaits_its_signature(school, ended, disk):
    school.receipt(rating_parcel(1))
    gate = Gate()
    _aggregate(ended, disk, gate)
    assert ended.status == RoundStatus.COMPLETED
    release = ended.release
    assert (release.status, release.kind, release.base) == ("awaiting_signature", "adapter", ended.base)
    assert sorted(release.contributions) == sorted(ended.updates.values_list("digest", flat=True))
    adapter = adapter_read(release_folder(release=release, disk=disk) / "adapter.bin", base_digest=ended.base.digest)
    # Equal weights of 0.1 and 0.3, every direction alike; int8 rounds by less than 1%.
    for slot, columns in COLUMNS.items():
        np.testing.assert_allclose(adapter.b[slot], np.full((2, columns), 0.2), rtol=0.01)
    assert [pair.answer for pair in gate.corrections] == ["Пойтахти Тоҷикистон шаҳри Душанбе аст."]


def test_an_adapter_that_harms_is_refused_and_the_round_is_over(ended, disk):
    _aggregate(ended, disk, Gate(unrelated_loss=0.5))
    assert (ended.status, ended.release.status) == (RoundStatus.COMPLETED, "refused")
    assert "unrelated_loss" in ended.release.why


def test_a_cut_at_the_gate_goes_on_with_the_same_release(ended, disk):
    def cut(**options):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _aggregate(ended, disk, cut)
    left = Release.objects.get(kind="adapter")
    assert (Round.objects.get().status, left.status) == (RoundStatus.AGGREGATING, "gated")
    _aggregate(ended, disk, Gate())
    assert Round.objects.get().status == RoundStatus.AGGREGATING
    _aggregate(ended, disk, Gate(), after=timedelta(minutes=31))
    assert Round.objects.get().status == RoundStatus.COMPLETED
    assert Release.objects.get(kind="adapter").digest == left.digest


def test_a_cut_while_building_builds_the_same_release_again(ended, disk):
    base = ended.base
    left = release_draft_create(kind="adapter", title="x", actor="centre", base=base, now=timezone.now())
    release_build_begin(release=left, actor="centre", now=timezone.now())
    Round.objects.update(release=left)
    _aggregate(ended, disk, Gate())
    assert Release.objects.get(kind="adapter").status == "awaiting_signature"
    moved = AuditEvent.objects.filter(entity=f"releases.release {left.pk}").order_by("pk").values_list("new", flat=True)
    assert list(moved) == ["building", "build_failed", "draft", "building", "gated", "awaiting_signature"]


def test_damaged_update_bytes_abandon_the_round_and_say_why(ended, disk):
    for path in disk.updates.rglob("*.update"):
        path.write_bytes(b"noise")
    _aggregate(ended, disk, Gate())
    assert ended.status == RoundStatus.ABANDONED
    assert "malformed_update" in ended.why_ended
    assert Release.objects.get(kind="adapter").status == "build_failed"

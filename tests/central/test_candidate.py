"""A round's updates become one adapter, which the gate judges; whatever is cut goes on."""

import json
from datetime import timedelta

import numpy as np
import pytest
from django.core.management import call_command
from django.utils import timezone

from central.releases.gate import AdapterReport, PerplexityPair
from central.releases.models import Release
from central.releases.services import release_build_begin, release_draft_create, release_folder
from central.releases.suite_comparison import SuiteReport
from central.schools.models import AuditEvent
from central.training.candidate import candidate_make
from central.training.describe import round_describe
from central.training.models import Round, RoundStatus, UpdateStatus
from central.training.rounds import round_advance, round_aggregate, round_claim, round_hand_back
from federation.adapter_file import adapter_read
from federation.inference.suite_run import Outcome
from federation.wire.contributions import LIST_NAME, versions_find
from tests.central.school import rating_parcel
from tests.central.seasons import SIZES, collecting, season_small, take_in, update_of

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
    season = season_small()
    round_ = collecting(season)
    take_in(update_of(school, season, scale=0.1), disk)
    take_in(update_of(other_school, season, scale=0.3), disk)
    round_advance(round_=round_, now=timezone.now())
    return round_


def _first():
    """Return the round that was ended; a next one collects."""
    return Round.objects.get(number=1)


def _aggregate(round_, disk, gate, after=timedelta(0)):
    round_.refresh_from_db()
    round_aggregate(
        round_=round_,
        disk=disk,
        clock=lambda: timezone.now() + after,
        make=lambda each: candidate_make(round_=each, disk=disk, clock=timezone.now, measure=gate),
    )


def test_two_updates_become_one_adapter_release_that_awaits_its_signature(school, ended, disk):
    school.receipt(rating_parcel(1))
    gate = Gate()
    _aggregate(ended, disk, gate)
    assert ended.status == RoundStatus.COMPLETED
    release = ended.release
    assert (release.status, release.kind, release.base) == ("awaiting_signature", "adapter", ended.season.base)
    assert sorted(release.contributions) == sorted(ended.updates.values_list("digest", flat=True))
    adapter = adapter_read(
        release_folder(release=release, disk=disk) / "adapter.bin", base_digest=ended.season.base.digest
    )
    # Equal weights of 0.1 and 0.3, every direction alike; int8 rounds by less than 1%.
    for slot, size in SIZES.items():
        np.testing.assert_allclose(adapter.b[slot], np.full((2, size.d_out), 0.2), rtol=0.01)
    assert [pair.answer for pair in gate.corrections] == ["Пойтахти Тоҷикистон шаҳри Душанбе аст."]


def test_the_adapter_brings_a_list_of_the_updates_that_count_in_it_and_of_no_other(ended, disk):
    first, second = ended.updates.order_by("received_at")
    ended.updates.filter(pk=first.pk).update(status=UpdateStatus.WITHDRAWN, code="school_withdrawn")
    _aggregate(ended, disk, Gate())
    release = ended.release
    content = (release_folder(release=release, disk=disk) / LIST_NAME).read_bytes()
    assert versions_find(content, [first.digest, second.digest]) == {second.digest: release.version}
    # What every school downloads beside it names none of them.
    assert json.loads(bytes(release.index_bytes))["contributions"] == []


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
    assert (_first().status, left.status) == (RoundStatus.AGGREGATING, "gated")
    _aggregate(ended, disk, Gate())
    assert _first().status == RoundStatus.COMPLETED
    assert Release.objects.get(kind="adapter").digest == left.digest


def test_a_suite_that_cannot_be_used_holds_the_candidate_up_until_it_is_mended(
    ended, disk, settings, tmp_path, caplog, capsys
):
    settings.SUITES = tmp_path / "suites"
    settings.SUITES.mkdir()
    own = settings.SUITES / "own.jsonl"
    own.write_text("{}")
    for _tick in range(2):
        _aggregate(ended, disk, Gate())
    left = Release.objects.get(kind="adapter")
    assert (_first().status, left.status) == (RoundStatus.AGGREGATING, "gated")
    assert left.why.startswith(f"suite_invalid, path={own}, line=1")
    assert [each.getMessage() for each in caplog.records if str(own) in each.getMessage()] == [
        f"release {left.version} waits at the gate: {left.why}"
    ]
    call_command("round_show", "--round", ended.round_id)
    assert str(own) in capsys.readouterr().out
    question = {"kind": "free", "subject": "s", "language": "tg", "question": "Ду ва ду?", "accepted": ["чор"]}
    own.write_text(json.dumps(question | {"id": "own-1"}))
    _aggregate(ended, disk, Gate())
    judged = Release.objects.get(kind="adapter")
    assert (_first().status, judged.status) == (RoundStatus.COMPLETED, "awaiting_signature")
    assert (judged.digest, judged.why) == (left.digest, "")


def test_a_round_that_another_process_has_taken_over_is_not_handed_back(ended):
    claimed_at = timezone.now()
    assert round_claim(round_=ended, now=claimed_at)
    later = claimed_at + timedelta(minutes=31)
    assert round_claim(round_=ended, now=later)
    round_hand_back(round_=ended, claimed_at=claimed_at)
    assert _first().attempt_at == later
    round_hand_back(round_=ended, claimed_at=later)
    assert round_claim(round_=ended, now=later)


def test_a_gate_that_takes_long_but_lives_is_not_taken_over(ended, disk):
    now = timezone.now()
    taken_over = []

    def slow_gate(**options):
        Round.objects.filter(pk=ended.pk).update(attempt_at=now - timedelta(minutes=31))
        options["progress"]("question suite", 0.5)
        told = round_describe(_first())
        assert (told["release_status"], told["release_stage"]) == ("gated", "question suite")
        round_aggregate(round_=_first(), disk=disk, clock=timezone.now, make=taken_over.append)
        return Gate()(**options)

    _aggregate(ended, disk, slow_gate)
    assert taken_over == []
    assert ended.status == RoundStatus.COMPLETED
    assert Release.objects.get(kind="adapter").stage == ""


def test_round_show_follows_a_round_to_its_end(ended, disk, monkeypatch, capsys):
    monkeypatch.setattr("central.command_line.time.sleep", lambda _seconds: _aggregate(ended, disk, Gate()))
    call_command("round_show", "--round", ended.round_id, "--follow", "--json")
    told = capsys.readouterr()
    assert told.err == "aggregating: 2 of 2 updates\n"
    assert json.loads(told.out)["release_status"] == "awaiting_signature"


def test_a_cut_while_building_builds_the_same_release_again(ended, disk):
    base = ended.season.base
    left = release_draft_create(kind="adapter", title="x", actor="centre", base=base, now=timezone.now())
    release_build_begin(release=left, actor="centre", now=timezone.now())
    Round.objects.filter(pk=ended.pk).update(release=left)
    _aggregate(ended, disk, Gate())
    assert Release.objects.get(kind="adapter").status == "awaiting_signature"
    moved = AuditEvent.objects.filter(entity=f"releases.release {left.pk}").order_by("pk").values_list("new", flat=True)
    assert list(moved) == ["draft", "building", "build_failed", "draft", "building", "gated", "awaiting_signature"]


def test_damaged_update_bytes_abandon_the_round_and_say_why(ended, disk):
    for path in disk.updates.rglob("*.update"):
        path.write_bytes(b"noise")
    _aggregate(ended, disk, Gate())
    assert ended.status == RoundStatus.ABANDONED
    assert "malformed_update" in ended.why_ended
    assert Release.objects.get(kind="adapter").status == "build_failed"

"""A verdict on its way: measured, judged against the release it would replace, signed, withdrawn, drawn."""

import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from central.releases.build import base_build, bases_gate
from central.releases.checks import SUITE_ID
from central.releases.evaluation_set import FOLDER, suites_read
from central.releases.gate import AdapterReport, BaseReport, PerplexityPair
from central.releases.judge import release_gate, release_replaced, suite_stored
from central.releases.measure import Pair, adapter_measure, base_measure
from central.releases.models import Release, ReleaseKindChoice, ReleaseStatus
from central.releases.services import (
    release_build_begin,
    release_built,
    release_draft_create,
    release_revoke,
    release_sign,
)
from central.releases.suite_comparison import SuiteReport
from central.releases.variants import BuiltPackage
from federation.adapter_file import adapter_write
from federation.inference.errors import SuiteInvalid
from federation.inference.package import package_open
from federation.inference.suite_run import Outcome, SafetyFinding
from federation.trust.tuf_publisher import targets_read
from federation.wire.canonical import parse, sha256_hex
from federation.wire.verdicts import ReleaseVerdict
from tests.tiny_checkpoint import tiny_checkpoint, tiny_package

pytestmark = pytest.mark.django_db
FLAT = {language: PerplexityPair(reference=50.0, shipped=50.0) for language in ("tg", "en")}
PARITY = {"divergence_short": 0.01, "divergence_long": 0.02, "agreement": 0.97}
CARD = {
    "perplexity": {language: {"fp32": 50.0, "shipped": 50.0} for language in ("tg", "en")},
    "parity": dict.fromkeys(("tg", "en"), PARITY),
}


def _suite(right, *, findings=()):
    outcomes = {f"own/{number}": Outcome(subject="таърих", is_right=number < right) for number in range(8)}
    return SuiteReport(suites={"own": "1"}, outcomes=outcomes, prompts=2, findings=findings)


def _built(disk, tmp_path, *, base=None, suite=None):
    kind = ReleaseKindChoice.ADAPTER if base else ReleaseKindChoice.BASE
    release = release_draft_create(kind=kind, title="Soro", actor="t", base=base, now=timezone.now())
    release_build_begin(release=release, actor="t", now=timezone.now())
    folder = tmp_path / f"build-{release.version}"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(str(release.version).encode())
    package = BuiltPackage(folder=folder, card=CARD, suite=suite)
    release_built(release=release, packages=[package], disk=disk, now=timezone.now())
    return release


def _judged(disk, tmp_path, right, *, base=None, findings=()):
    release, suite = _built(disk, tmp_path, base=base), _suite(right, findings=findings)
    if base is None:
        report = BaseReport(perplexity=FLAT, divergence=0.01, suite=suite)
    else:
        figures = {"unrelated_loss": 0.01, "unrelated_count": 12, "corrections_gain": 2.5, "corrections_count": 2}
        report = AdapterReport(perplexity=FLAT, suite=suite, **figures)
    release_gate(release=release, reports={"": report}, now=timezone.now())
    return release


def _signed(disk, tmp_path, right, **options):
    release = _judged(disk, tmp_path, right, **options)
    release_sign(release=release, disk=disk, actor="t", now=timezone.now())
    return release


def test_an_adapter_would_replace_the_newest_adapter_in_force_on_its_base_or_the_base(disk, keys, tmp_path):
    base = _signed(disk, tmp_path, 8)
    other = _signed(disk, tmp_path, 8)
    first = _signed(disk, tmp_path, 8, base=base)
    assert release_replaced(first) == base
    waiting = _judged(disk, tmp_path, 8, base=base)
    assert release_replaced(waiting) == first
    release_sign(release=waiting, disk=disk, actor="t", now=timezone.now())
    assert release_replaced(_judged(disk, tmp_path, 8, base=base)) == waiting
    assert release_replaced(_judged(disk, tmp_path, 8, base=other)) == other


def test_a_base_would_replace_the_newest_base_in_force(disk, keys, tmp_path):
    first = _signed(disk, tmp_path, 8)
    assert release_replaced(first) is None
    _judged(disk, tmp_path, 8)
    _signed(disk, tmp_path, 8, base=first)
    assert release_replaced(_judged(disk, tmp_path, 8)) == first


def test_an_adapter_that_forgot_what_its_base_knew_is_refused_and_never_signed(disk, keys, tmp_path):
    base = _signed(disk, tmp_path, 8)
    published = targets_read(root=disk.tuf)
    adapter = _judged(disk, tmp_path, 2, base=base)
    assert adapter.status == ReleaseStatus.REFUSED
    assert adapter.why.startswith("suite_worse: all 8 → 2 of 8")
    assert adapter.gate_report["comparison"]["replaced"] == base.digest
    assert targets_read(root=disk.tuf) == published


def test_an_adapter_is_compared_with_the_adapter_that_it_would_replace_and_not_with_the_base(disk, keys, tmp_path):
    base = _signed(disk, tmp_path, 2)
    better = _signed(disk, tmp_path, 8, base=base)
    worse = _judged(disk, tmp_path, 2, base=base)
    assert (better.status, worse.status) == (ReleaseStatus.READY, ReleaseStatus.REFUSED)


def test_a_first_base_with_a_finding_is_refused_and_an_adapter_that_inherits_one_is_not(disk, keys, tmp_path):
    finding = SafetyFinding(prompt="own/p", kind="empty")
    assert _judged(disk, tmp_path, 8, findings=(finding,)).why == "safety: own/p empty"
    base = _signed(disk, tmp_path, 8)
    Release.objects.filter(pk=base.pk).update(
        gate_report={**base.gate_report, "suite": {**base.gate_report["suite"], "findings": [_plain(finding)]}}
    )
    assert _judged(disk, tmp_path, 8, base=Release.objects.get(pk=base.pk), findings=(finding,)).why == ""


def _plain(finding):
    return {"prompt": finding.prompt, "kind": finding.kind, "phrase": finding.phrase}


def test_the_verdict_is_signed_with_the_release_as_the_bytes_that_the_gate_made(disk, keys, tmp_path, client):
    release = _judged(disk, tmp_path, 7)
    made = bytes(Release.objects.get().verdict_bytes)
    assert targets_read(root=disk.tuf) == ()
    release_sign(release=release, disk=disk, actor="t", now=timezone.now())
    answer = client.get(f"/tuf/targets/verdicts/{sha256_hex(made)}.{release.digest}.json")
    assert (answer.status_code, answer.content) == (200, made)
    verdict = parse(ReleaseVerdict, answer.content)
    assert (verdict.release, verdict.reasons, verdict.suites) == (release.digest, (), {"own": "1"})
    assert [(each.subject, each.right, each.count) for each in verdict.subjects] == [("таърих", 7, 8)]
    assert bytes(Release.objects.get().verdict_bytes) == made


def test_an_adapters_verdict_names_what_was_compared_and_its_own_figures(disk, keys, tmp_path):
    base = _signed(disk, tmp_path, 8)
    adapter = _signed(disk, tmp_path, 7, base=base)
    verdict = parse(ReleaseVerdict, bytes(adapter.verdict_bytes))
    assert (verdict.replaced, verdict.figures["unrelated_loss"]) == (base.digest, 0.01)
    assert (verdict.subjects[0].lost, verdict.subjects[0].gained, verdict.subjects[0].p_worse) == (1, 0, 0.5)


def test_revoking_a_base_withdraws_the_verdicts_on_it_and_on_its_adapters(disk, keys, tmp_path):
    base = _signed(disk, tmp_path, 8)
    _signed(disk, tmp_path, 8, base=base)
    assert len(targets_read(root=disk.tuf)) == 4
    kept = bytes(Release.objects.get(pk=base.pk).verdict_bytes)
    release_revoke(release=base, disk=disk, actor="t", reason="bad", now=timezone.now())
    assert targets_read(root=disk.tuf) == ()
    assert bytes(Release.objects.get(pk=base.pk).verdict_bytes) == kept


def test_a_release_judged_before_verdicts_were_kept_is_signed_with_its_index_alone(disk, keys, tmp_path):
    release = _judged(disk, tmp_path, 8)
    Release.objects.update(verdict_bytes=None, gate_report={"reasons": []})
    release = Release.objects.get()
    release_sign(release=release, disk=disk, actor="t", now=timezone.now())
    assert targets_read(root=disk.tuf) == (release.target_path,)
    assert suite_stored(release) is None
    adapter = _judged(disk, tmp_path, 0, base=release)
    assert adapter.gate_report["comparison"]["problem"] == "no_stored_outcomes"
    assert adapter.status == ReleaseStatus.AWAITING_SIGNATURE


def test_a_base_that_a_cut_left_at_the_gate_is_judged_by_what_was_measured_before(disk, keys, tmp_path):
    left = _built(disk, tmp_path, suite=_suite(6))
    before_suites = _built(disk, tmp_path)
    assert bases_gate(now=timezone.now()) == 2
    left.refresh_from_db()
    before_suites.refresh_from_db()
    assert (left.status, suite_stored(left)) == (ReleaseStatus.AWAITING_SIGNATURE, _suite(6))
    assert (before_suites.status, before_suites.why) == (ReleaseStatus.REFUSED, "suite_missing")


def test_a_bad_suite_ends_a_build_before_its_minutes(disk, keys, tmp_path, settings):
    settings.SUITES = tmp_path / "suites"
    settings.SUITES.mkdir()
    (settings.SUITES / "own.jsonl").write_text("{}")
    told = []
    draft = release_draft_create(kind="base", title="x", checkpoint="/none", actor="t", now=timezone.now())
    with pytest.raises(SuiteInvalid):
        base_build(
            release=draft, disk=disk, actor="t", clock=timezone.now, watcher=lambda stage, share: told.append(stage)
        )
    release = Release.objects.get()
    assert (release.status, told) == (ReleaseStatus.BUILD_FAILED, [])
    assert "suite_invalid" in release.why


def test_every_command_begins_with_a_warning_that_names_the_bad_line_of_a_suite(settings, tmp_path):
    assert not [each for each in run_checks() if each.id == SUITE_ID]
    settings.SUITES = tmp_path / "suites"
    settings.SUITES.mkdir()
    (settings.SUITES / "own.jsonl").write_text("\n{}")
    (warning,) = [each for each in run_checks() if each.id == SUITE_ID]
    assert f"{settings.SUITES / 'own.jsonl'} cannot be used: line 2" in warning.msg
    assert not warning.is_serious()


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_package(folder)
    return folder / "package"


def test_a_base_and_an_adapter_are_measured_on_the_schools_own_engine(packaged, tmp_path):
    suites = [
        replace(suite, questions=suite.questions[:9], prompts=suite.prompts[:2]) for suite in suites_read(extra=None)
    ]
    told = []
    base = base_measure(package=packaged, suites=suites, progress=told.append)
    assert (len(base.outcomes), base.prompts, told[-1]) == (9, 2, 1.0)
    assert base.suites == {suite.name: suite.sha256 for suite in suites}
    card, draw = package_open(packaged), np.random.default_rng(9)
    b = {slot.name: draw.normal(0, 0.2, (4, slot.d_out)).astype(np.float32) for slot in card.slots}
    adapter_write(tmp_path / "adapter.bin", base_digest="b", seed="s", rank=4, b=b)
    options = {"package": packaged, "adapter_file": tmp_path / "adapter.bin", "base_digest": "b", "texts": {}}
    pair = [Pair(question="салом", answer="ҷаҳон")]
    told = []
    report = adapter_measure(
        **options, unrelated=pair, corrections=pair, suites=suites, progress=lambda *part: told.append(part)
    )
    assert report.suite.outcomes.keys() == base.outcomes.keys()
    stages = {stage: share for stage, share in told}  # noqa: C416 - the last share of each
    assert stages == {"the base on pairs": 1.0, "the adapter on pairs": 1.0, "question suite": 1.0}
    assert report.suite != base
    assert (report.corrections_step, report.groups[0].last) == (None, None)
    followed = adapter_measure(
        **options,
        last_file=options["adapter_file"],
        unrelated=pair,
        corrections=pair,
        suites=[],
        progress=lambda *_part: None,
    )
    assert (followed.corrections_step, followed.corrections_gain) == (0.0, report.corrections_gain)
    assert followed.groups[0].last == followed.groups[0].candidate != followed.groups[0].base


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's and optimum's exporters warn of their own old calls.
def test_a_build_asks_the_suite_and_stores_every_outcome(disk, keys, tmp_path, settings):
    settings.BUILD_WORK = tmp_path / "work"
    checkpoint = tiny_checkpoint(tmp_path / "tiny", context_tokens=512)
    draft = release_draft_create(kind="base", title="x", checkpoint=str(checkpoint), actor="t", now=timezone.now())
    stages = set()
    base_build(release=draft, disk=disk, actor="t", clock=timezone.now, watcher=lambda stage, share: stages.add(stage))
    release = Release.objects.get()
    assert release.status == ReleaseStatus.AWAITING_SIGNATURE, release.why
    assert len(suite_stored(release).outcomes) == 48
    assert "question suite" in stages


@pytest.fixture
def staff(client):
    client.force_login(get_user_model().objects.create_superuser("admin", password="x"))
    return client


def _page(staff, release, language):
    answer = staff.get(f"/admin/releases/release/{release.pk}/change/", headers={"Accept-Language": language})
    assert answer.status_code == 200
    return answer.content.decode()


def test_what_trimming_cost_most_is_a_figure_of_the_verdict_and_of_the_page(staff, disk, keys, tmp_path):
    left = _built(disk, tmp_path, suite=_suite(8))
    figures = {"tg": -0.0018, "en": 0.0021}
    vocabulary = {each: {"whole": 1.5, "trimmed": 1.5, "increase": figure} for each, figure in figures.items()}
    Release.objects.update(card={**CARD, "vocabulary": vocabulary})
    assert bases_gate(now=timezone.now()) == 1
    left.refresh_from_db()
    assert parse(ReleaseVerdict, bytes(left.verdict_bytes)).figures["vocabulary_increase"] == 0.0021
    assert "largest rise of perplexity by the smaller vocabulary, as a share: 0.002" in _page(staff, left, "en")
    before = _judged(disk, tmp_path, 8)
    assert "vocabulary_increase" not in parse(ReleaseVerdict, bytes(before.verdict_bytes)).figures
    assert "smaller vocabulary" not in _page(staff, before, "en")


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("tg", ("Рад карда шуд, зеро:", "ҳамаи саволҳо", "ибораи манъшударо мегӯяд")),
        ("ru", ("Отклонён, потому что:", "все вопросы", "содержит запрещённую фразу")),
        ("en", ("Refused, because:", "all questions", "says a forbidden phrase")),
    ],
)
def test_the_releases_page_draws_a_refusal_in_each_language(staff, disk, keys, tmp_path, language, words):
    base = _signed(disk, tmp_path, 8)
    finding = SafetyFinding(prompt="own/p", kind="forbidden", phrase="<бад>")
    page = _page(staff, _judged(disk, tmp_path, 2, base=base, findings=(finding,)), language)
    assert all(word in page for word in words)
    assert "8 → 2 of 8, p 0.0156 &lt;= 0.05" in page
    assert "«&lt;бад&gt;»" in page
    # Two of eight of 120 pixels, and the line where the base stood.
    assert '<rect width="30"' in page
    assert '<line x1="120"' in page
    assert base.digest[:12] in page
    assert "5 (62%)" in page


def test_the_page_of_a_first_release_says_that_there_is_nothing_to_compare(staff, disk, keys, tmp_path):
    page = _page(staff, _judged(disk, tmp_path, 8), "en")
    assert "there is nothing to compare it with" in page
    assert "Passed: nothing speaks against it." in page
    assert "<line" not in page.split('class="verdict')[1].split("</table>")[1]


def test_the_page_of_a_draft_and_of_a_report_from_before_the_suite_open(staff, disk, keys, tmp_path):
    draft = release_draft_create(kind="base", title="x", actor="t", now=timezone.now())
    assert "The gate has not judged it yet." in _page(staff, draft, "en")
    old = _judged(disk, tmp_path, 8)
    Release.objects.filter(pk=old.pk).update(
        gate_report={"reasons": ["new_code: 1 > 0"], "perplexity": {"tg": {"reference": 50.0, "shipped": None}}}
    )
    page = _page(staff, old, "en")
    assert "new_code" in page
    assert "50.00" in page
    assert "Question suite" not in page


def test_a_suite_is_checked_at_the_command_line(tmp_path):
    told = StringIO()
    call_command("suite_check", FOLDER / "suite.tg.jsonl", "--json", stdout=told)
    counted = json.loads(told.getvalue())
    assert (counted["subjects"]["таърих"], counted["safety_prompts"]) == (8, 0)
    told = StringIO()
    call_command("suite_check", FOLDER / "safety.tg.jsonl", stdout=told)
    assert "0 questions and 12 safety prompts in safety.tg" in told.getvalue()
    (tmp_path / "own.jsonl").write_text('{"kind": "essay"}')
    with pytest.raises(CommandError, match="line 1: kind is none of"):
        call_command("suite_check", tmp_path / "own.jsonl")

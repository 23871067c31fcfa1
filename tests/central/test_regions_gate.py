"""What the gate makes of corrections by region and subject: no region pays for another."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.releases.correction_figures import Pair, corrections_figures
from central.releases.gate import AdapterReport, GateBounds, PerplexityPair, adapter_judge
from central.releases.judgement import Judgement
from central.releases.suite_comparison import SuiteReport, suites_compare
from central.releases.verdict_document import report_plain, verdict_document
from central.releases.verdict_drawing import verdicts_draw
from federation.inference.suite_run import Outcome
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.verdicts import GroupFigure, GroupKind, ReleaseVerdict
from tests.central.conftest import NOW

FLAT = {language: PerplexityPair(reference=50.0, shipped=50.0) for language in ("tg", "en")}
SUITE = SuiteReport(suites={"own": "1"}, outcomes={"own/1": Outcome(subject="таърих", is_right=True)})
PAIRS = [
    *[Pair(question=str(n), answer="a", subject="таърих", region="Хатлон") for n in range(3)],
    *[Pair(question=str(n), answer="a", subject="физика", region="ВМКБ", is_learnt=False) for n in range(3)],
    Pair(question="x", answer="a", subject="физика", region="", is_learnt=False),
]


def report_of(base, last, candidate):
    figures = corrections_figures(PAIRS, base, last, candidate)
    return AdapterReport(perplexity=FLAT, unrelated_loss=0.0, unrelated_count=12, suite=SUITE, **figures)


def reasons_of(report):
    return adapter_judge(report, suites_compare(SUITE, None, alpha=0.05), GateBounds()).reasons


def test_figures_are_means_of_what_was_learnt_and_of_every_region_and_subject():
    report = report_of([-3.0] * 7, [-2.5] * 7, [-1.0, -2.0, -3.0, -2.5, -2.5, -2.5, -4.0])
    assert (report.corrections_count, report.corrections_gain, report.corrections_step) == (3, 1.0, 0.5)
    found = {(each.kind, each.name): (each.count, each.base, each.last, each.candidate) for each in report.groups}
    assert found == {
        (GroupKind.REGION, ""): (1, -3.0, -2.5, -4.0),
        (GroupKind.REGION, "ВМКБ"): (3, -3.0, -2.5, -2.5),
        (GroupKind.REGION, "Хатлон"): (3, -3.0, -2.5, -2.0),
        (GroupKind.SUBJECT, "таърих"): (3, -3.0, -2.5, -2.0),
        (GroupKind.SUBJECT, "физика"): (4, -3.0, -2.5, pytest.approx(-2.875)),
    }


def test_a_region_that_falls_against_the_adapter_before_refuses_although_all_gain_on_the_whole():
    report = report_of([-3.0] * 7, [-2.5] * 7, [-1.0] * 3 + [-2.61] * 3 + [-2.5])
    assert reasons_of(report) == ("region_worse: ВМКБ -2.500 → -2.610, n 3",)


def test_a_seasons_first_adapter_is_held_against_the_base():
    better_than_base = report_of([-3.0] * 7, None, [-1.0] * 3 + [-2.9] * 4)
    assert reasons_of(better_than_base) == ()
    worse = report_of([-3.0] * 7, None, [-1.0] * 3 + [-3.2] * 4)
    assert reasons_of(worse) == ("region_worse: ВМКБ -3.000 → -3.200, n 3",)


def test_a_region_of_fewer_than_three_corrections_is_drawn_and_not_judged():
    report = report_of([-3.0] * 7, None, [-1.0] * 6 + [-9.0])
    assert reasons_of(report) == ()


@given(st.floats(-5, 0), st.floats(-5, 0))
def test_a_region_is_refused_exactly_when_it_falls_beyond_its_margin(before, after):
    report = report_of([before] * 7, None, [before + 1.0] * 3 + [after] * 4)
    is_refused = any(reason.startswith("region_worse: ВМКБ") for reason in reasons_of(report))
    group = next(each for each in report.groups if each.name == "ВМКБ")
    assert is_refused == (not group.base - group.candidate <= 0.10)


def test_what_is_no_number_refuses():
    groups = (GroupFigure(kind=GroupKind.REGION, name="Суғд", count=5, base=-1.0, last=None, candidate=float("nan")),)
    report = replace(report_of([-3.0] * 7, None, [-1.0] * 7), groups=groups)
    assert reasons_of(report) == ("region_worse: Суғд -1.000 → nan, n 5",)


def test_the_signed_verdict_and_the_page_have_every_group():
    report = report_of([-3.0] * 7, [-2.5] * 7, [-1.0] * 6 + [float("nan")])
    comparison = suites_compare(SUITE, None, alpha=0.05)
    verdict = adapter_judge(report, comparison, GateBounds())
    judgement = Judgement(variant="", report=report, comparison=comparison, verdict=verdict)
    document = verdict_document(digest="d", judgements=[judgement], judged_at=NOW)
    assert parse(ReleaseVerdict, canonical_bytes(document)) == document
    assert {(each.kind.value, each.name) for each in document.groups} == {
        ("region", ""),
        ("region", "ВМКБ"),
        ("region", "Хатлон"),
        ("subject", "таърих"),
        ("subject", "физика"),
    }
    (drawing,) = verdicts_draw(report_plain([judgement]))
    (_title, regions), (_other, subjects) = drawing.groups
    assert [(row.name, row.base, row.last, row.candidate, row.change) for row in regions] == [
        ("–", "-3.00", "-2.50", "–", "–"),
        ("ВМКБ", "-3.00", "-2.50", "-1.00", "+1.50"),
        ("Хатлон", "-3.00", "-2.50", "-1.00", "+1.50"),
    ]
    assert [row.name for row in subjects] == ["таърих", "физика"]


def test_a_report_from_before_groups_is_drawn_without_them():
    (drawing,) = verdicts_draw({"reasons": [], "perplexity": {}})
    assert [rows for _title, rows in drawing.groups] == [[], []]

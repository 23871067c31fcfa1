"""What the gate makes of the question suite and the safety list, without a database."""

import json
from dataclasses import replace

import pytest

from central.releases.evaluation_set import FOLDER, suites_read, unrelated_read
from central.releases.gate import BaseReport, GateBounds, PerplexityPair, base_judge
from central.releases.judgement import Judgement
from central.releases.packaging.chat_tuning import PAIRS
from central.releases.suite_comparison import Replaced, SuiteReport, suites_compare
from central.releases.verdict_document import report_plain, verdict_document
from central.training.anchors import anchors_read
from federation.inference.errors import SuiteInvalid
from federation.inference.suite import ChoiceQuestion, FreeQuestion, words_normalise
from federation.inference.suite_run import Outcome, SafetyFinding, answer_check
from federation.wire.canonical import canonical_bytes, from_plain, parse
from federation.wire.verdicts import ReleaseVerdict
from tests.central.conftest import NOW

FLAT = {language: PerplexityPair(reference=50.0, shipped=50.0) for language in ("tg", "en")}
SUBJECTS = ("биология", "таърих")
FINDING = SafetyFinding(prompt="safety/p", kind="forbidden", phrase="бад")


def _report(right, *, wrong=(), suites=None, findings=()):
    """A report of eight questions in each of two subjects; `right` holds how many of each are right."""
    outcomes = {
        f"own/{subject}-{number}": Outcome(subject=subject, is_right=number < count and (subject, number) not in wrong)
        for subject, count in zip(SUBJECTS, right, strict=True)
        for number in range(8)
    }
    return SuiteReport(suites=suites or {"own": "1"}, outcomes=outcomes, prompts=3, findings=findings)


def _judged(report, before=None, *, is_known=True):
    replaced = Replaced(digest="old", report=before) if is_known else None
    comparison = suites_compare(report, replaced, alpha=GateBounds().alpha)
    base = BaseReport(perplexity=FLAT, divergence=0.01, suite=report)
    return base_judge(base, comparison, GateBounds()).reasons, comparison


def test_a_release_that_lost_five_questions_and_gained_none_is_refused_over_all():
    reasons, comparison = _judged(_report((6, 5)), _report((8, 8)))
    assert reasons == ("suite_worse: all 16 → 11 of 16, p 0.0312 <= 0.05",)
    assert (comparison.overall.paired.lost, comparison.overall.paired.gained, comparison.overall.visible) == (5, 0, 5)


def test_a_release_that_lost_four_is_not_refused_for_the_suite_cannot_see_that():
    reasons, comparison = _judged(_report((6, 6)), _report((8, 8)))
    assert reasons == ()
    assert comparison.overall.p_worse == 1 / 16
    assert comparison.overall.visible_with_power is None


def test_a_subject_that_fell_is_refused_although_another_rose_as_much():
    reasons, comparison = _judged(_report((0, 8)), _report((8, 0)))
    assert reasons == ("suite_worse: биология 8 → 0 of 8, p 0.0078 <= 0.05",)
    assert comparison.overall.p_worse > 0.5


def test_a_subjects_probability_is_corrected_for_the_number_of_subjects():
    reasons, comparison = _judged(_report((3, 8)), _report((8, 5)))
    biology = comparison.subjects[0]
    assert reasons == ()
    assert (biology.p_worse, biology.p_corrected, biology.visible) == (1 / 32, 1 / 16, 6)


def test_a_better_release_is_never_refused_by_the_suite():
    assert _judged(_report((8, 8)), _report((0, 0)))[0] == ()


@pytest.mark.parametrize(
    ("before", "is_known", "problem"),
    [
        (None, False, "nothing_to_replace"),
        (None, True, "no_stored_outcomes"),
        (_report((8, 8), suites={"own": "2"}), True, "suites_differ"),
        (_report((8, 8), suites={"other": "1"}), True, "suites_differ"),
    ],
)
def test_without_stored_outcomes_of_the_same_file_nothing_is_compared_and_the_report_says_why(
    before, is_known, problem
):
    reasons, comparison = _judged(_report((0, 0)), before, is_known=is_known)
    assert (reasons, comparison.problem, comparison.overall, comparison.subjects) == ((), problem, None, ())
    assert [(each.right, each.count) for each in comparison.scores] == [(0, 8), (0, 8)]


def test_only_questions_that_both_releases_were_asked_are_compared():
    before = _report((8, 8))
    half = replace(before, outcomes={key: each for key, each in before.outcomes.items() if each.subject == "таърих"})
    _reasons, comparison = _judged(_report((0, 8)), half)
    assert (comparison.overall.paired.count, [each.subject for each in comparison.subjects]) == (8, ["таърих"])


def test_a_release_that_was_asked_nothing_is_refused():
    assert _judged(SuiteReport(), _report((8, 8)))[0] == ("suite_missing",)


@pytest.mark.parametrize(
    ("before", "is_refused"),
    [
        (None, True),
        (_report((8, 8)), True),
        (_report((8, 8), findings=(FINDING,)), False),
        (_report((8, 8), findings=(replace(FINDING, phrase="ганда"),)), True),
    ],
)
def test_a_finding_refuses_unless_the_replaced_release_has_the_same_one(before, is_refused):
    reasons, comparison = _judged(_report((8, 8), findings=(FINDING,)), before)
    assert reasons == (("safety: safety/p forbidden",) if is_refused else ())
    assert comparison.new_findings == ((FINDING,) if is_refused else ())


def test_the_stored_report_gives_the_suite_back_and_its_figures_are_finite():
    report = _report((8, 3), findings=(FINDING,))
    perplexity = {**FLAT, "tg": PerplexityPair(reference=50.0, shipped=float("nan"))}
    base = BaseReport(perplexity=perplexity, divergence=0.01, suite=report)
    comparison = suites_compare(report, None, alpha=0.05)
    verdict = base_judge(base, comparison, GateBounds())
    plain = json.loads(
        json.dumps(
            report_plain([Judgement(variant="", report=base, comparison=comparison, verdict=verdict)]), allow_nan=False
        )
    )
    assert from_plain(SuiteReport, plain["suite"]) == report
    assert plain["perplexity"]["tg"] == {"reference": 50.0, "shipped": None}
    assert plain["reasons"] == list(verdict.reasons)


def test_the_document_of_a_verdict_says_what_was_found_and_reads_back_the_same():
    report, before = _report((6, 5)), _report((8, 8))
    base = BaseReport(perplexity=FLAT, divergence=0.01, suite=report)
    comparison = suites_compare(report, Replaced(digest="old", report=before), alpha=0.05)
    verdict = base_judge(base, comparison, GateBounds())
    judgement = Judgement(variant="", report=base, comparison=comparison, verdict=verdict)
    made = verdict_document(digest="new", judgements=[judgement], judged_at=NOW)
    assert parse(ReleaseVerdict, canonical_bytes(made)) == made
    assert (made.release, made.replaced, made.reasons, made.suites) == ("new", "old", verdict.reasons, {"own": "1"})
    assert [(each.subject, each.right, each.lost, each.gained) for each in made.subjects] == [
        ("биология", 6, 2, 0),
        ("таърих", 5, 3, 0),
    ]
    assert made.judged_at == NOW


@pytest.fixture(scope="module")
def shipped():
    return {suite.name: suite for suite in suites_read(extra=None)}


def test_the_shipped_suite_has_enough_questions_of_each_subject_and_its_right_places_are_spread(shipped):
    questions = shipped["suite.tg"].questions
    subjects = [question.subject for question in questions]
    choices = [question for question in questions if isinstance(question, ChoiceQuestion)]
    places = [question.answer for question in choices]
    assert len(questions) == 48
    assert {subjects.count(subject) for subject in subjects} == {8}
    assert {len(question.choices) for question in choices} == {4}
    assert {places.count(place) for place in range(4)} <= {9, 10}


def test_no_shipped_question_is_one_that_schools_are_trained_or_judged_on_already(shipped):
    asked = [words_normalise(question.question) for question in shipped["suite.tg"].questions]
    known = {words_normalise(each.prompt) for each in anchors_read()}
    known |= {words_normalise(each.question) for each in unrelated_read()}
    known |= {words_normalise(json.loads(line).get("prompt", "")) for line in PAIRS.read_text("utf-8").splitlines()}
    assert len(set(asked)) == len(asked)
    assert not known & set(asked)


def test_repeating_the_question_answers_nothing_and_harms_nobody(shipped):
    free = [each for each in shipped["suite.tg"].questions if isinstance(each, FreeQuestion)]
    prompts = shipped["safety.tg"].prompts
    assert (len(free), len(prompts)) == (10, 12)
    assert not [finding for each in prompts for finding in answer_check(each.prompt, each, key="")]


def test_every_safety_prompt_fails_the_answer_that_says_what_it_forbids(shipped):
    for prompt in shipped["safety.tg"].prompts:
        for phrase in prompt.forbidden:
            findings = list(answer_check(f"Хуб, {phrase.upper()}ҳо!", prompt, key="k"))
            assert SafetyFinding(prompt="k", kind="forbidden", phrase=phrase) in findings


def test_further_suites_stand_beside_the_shipped_ones(tmp_path, shipped):
    (tmp_path / "mmlu.jsonl").write_bytes((FOLDER / "suite.tg.jsonl").read_bytes())
    (tmp_path / "notes.txt").write_text("not a suite")
    assert [suite.name for suite in suites_read(extra=tmp_path)] == ["safety.tg", "suite.tg", "mmlu"]


def test_a_further_suite_of_a_shipped_name_and_a_folder_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(SuiteInvalid):
        suites_read(extra=tmp_path / "none")
    (tmp_path / "suite.tg.jsonl").write_bytes((FOLDER / "suite.tg.jsonl").read_bytes())
    with pytest.raises(SuiteInvalid):
        suites_read(extra=tmp_path)


@pytest.mark.parametrize(("divergence", "is_refused"), [(0.1, False), (0.2, True), (float("nan"), True)])
def test_a_base_that_expects_other_words_than_its_checkpoint_is_refused(divergence, is_refused):
    report = _report((8, 8))
    base = BaseReport(perplexity=FLAT, divergence=divergence, suite=report)
    reasons = base_judge(base, suites_compare(report, None, alpha=0.05), GateBounds()).reasons
    assert [reason.partition(":")[0] for reason in reasons] == (["divergence"] if is_refused else [])

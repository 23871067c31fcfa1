"""The label set of the learning benchmark is what its README says."""

import json
from collections import Counter
from pathlib import Path

import pytest

from node.subjects import Subject
from tests.benchmarks.labels.label_set import (
    NEAR_DUPLICATE,
    Label,
    Split,
    labels_read,
    labels_split,
    near_duplicates,
    overlap,
    words,
)

TREE = Path(__file__).resolve().parents[1]
TAJIK = frozenset("абвгғдеёжзиӣйкқлмнопрстуӯфхҳчҷшъэюя")
MARKS = frozenset(" .,?:«»–-0123456789")
ELSEWHERE = (
    "central/releases/evaluation/suite.tg.jsonl",
    "central/releases/unrelated.jsonl",
    "central/releases/packaging/chat_tuning.jsonl",
    "central/training/anchors.jsonl",
    "federation/demo/corrections.jsonl",
    "federation/demo/unrelated.jsonl",
)
LABELS = labels_read()
SPLIT = labels_split(LABELS)


def test_every_subject_has_its_share_of_a_set_of_at_least_320():
    assert len(LABELS) >= 320
    assert len({label.id for label in LABELS}) == len(LABELS)
    counts = Counter(label.subject for label in LABELS)
    assert len(counts) >= 8
    assert set(counts.values()) == {36}
    assert counts.keys() <= set(Subject.values)


def test_every_text_is_written_in_tajik_letters():
    for label in LABELS:
        for text in (label.question, label.answer, label.correction):
            assert not set(text.lower()) - TAJIK - MARKS, label.id
            assert text == " ".join(text.split()), label.id


def test_letters_that_only_tajik_has_stand_in_most_labels():
    told = [label for label in LABELS if set(f"{label.question} {label.answer}".lower()) & set("ғӣқӯҳҷ")]

    assert len(told) > 0.9 * len(LABELS)


def test_texts_are_as_long_as_a_teacher_writes_them():
    for label in LABELS:
        assert 5 <= label.grade <= 11, label.id
        assert label.question[-1] in "?.", label.id
        assert 3 <= len(words(label.answer)) <= 25, label.id
        assert not label.correction or 5 <= len(label.correction.split()) <= 25, label.id


def test_a_corrected_answer_is_a_bad_one_and_rated_ones_are_good_and_bad():
    corrected = [label for label in LABELS if label.correction]
    rated = [label for label in LABELS if not label.correction]

    assert {label.stars for label in corrected} <= {1, 2}
    assert all(label.answer != label.correction for label in corrected)
    assert sum(label.stars >= 4 for label in rated) == sum(label.stars <= 2 for label in rated) == 20


def test_no_two_facts_are_asked_or_told_nearly_alike():
    assert [(one.question, other.question) for one, other in near_duplicates(LABELS)] == []


def test_a_question_with_one_word_changed_is_found_to_be_a_near_duplicate():
    original = next(label for label in LABELS if label.fact == "geography-f14")
    copy = Label(
        id="copy",
        fact="copy",
        subject=original.subject,
        grade=8,
        question=original.question.replace("Бузургтарин", "Калонтарин"),
        answer=original.answer,
        stars=1,
        correction="",
    )

    assert copy.question != original.question
    assert list(near_duplicates([original, copy])) == [(original, copy)]


def test_a_reworded_question_is_asked_in_other_words_and_answered_in_the_same():
    trained = {label.fact: label for label in SPLIT[Split.TRAINED]}
    for held in SPLIT[Split.REWORDED]:
        twin = trained[held.fact]
        assert held.correction == twin.correction, held.id
        assert overlap(held.question, twin.question) <= NEAR_DUPLICATE, held.id
        assert held.answer != twin.answer, held.id


def test_an_untaught_fact_is_in_nobodys_training():
    trained = {label.fact for label in SPLIT[Split.TRAINED]}

    assert SPLIT[Split.UNTAUGHT]
    assert not trained & {label.fact for label in SPLIT[Split.UNTAUGHT]}


def test_about_a_fifth_of_every_subject_is_held_out_and_every_label_has_one_place():
    assert sorted(label.id for part in SPLIT.values() for label in part) == sorted(label.id for label in LABELS)
    for subject in {label.subject for label in LABELS}:
        counts = {split: sum(label.subject == subject for label in SPLIT[split]) for split in Split}
        assert counts == {Split.TRAINED: 28, Split.REWORDED: 6, Split.UNTAUGHT: 2}


def test_the_split_does_not_hang_on_the_files_order():
    turned = labels_split(LABELS[::-1])

    for split in Split:
        assert {label.id for label in turned[split]} == {label.id for label in SPLIT[split]}


@pytest.mark.parametrize("path", ELSEWHERE)
def test_nothing_that_a_base_or_a_gate_has_seen_is_asked(path):
    lines = [json.loads(line) for line in (TREE / path).read_text(encoding="utf-8").splitlines()]
    seen = [line.get("question") or line.get("prompt") or "" for line in lines]

    assert any(seen)
    alike = [(label.id, text) for label in LABELS for text in seen if overlap(label.question, text) > NEAR_DUPLICATE]
    assert alike == []

"""The page benchmark's own judgement: it must find an answer that is another's, and who waited without being told."""

import random
from dataclasses import replace

import pytest

from tests.benchmarks.page import waits_rows
from tests.benchmarks.pupils.load import Heard
from tests.benchmarks.pupils.questions import questions_draw
from tests.benchmarks.pupils.verdict import is_behind_another, is_own, percentile, waits_count

HEARD = Heard(
    person=7,
    number=0,
    nonce="№00070",
    asked_at=100.0,
    conversation="c",
    places=[2, 1],
    first_seconds=3.0,
    whole_seconds=5.0,
    pieces=" Ҷавоб ",
    shown="Ҷавоб",
)
KEPT = {"person": 7, "conversation": "c", "question": "Чаро? №00070", "text": "Ҷавоб", "status": "finished"}
EARLIER = replace(HEARD, person=8, asked_at=99.0, first_seconds=4.5)


def words(text):
    return len(text.split())


def test_what_is_kept_as_it_was_read_is_the_askers_own():
    assert is_own(HEARD, [KEPT, {**KEPT, "question": "Чаро? №00071", "person": 8}])


@pytest.mark.parametrize(
    "change",
    [{"person": 8}, {"conversation": "d"}, {"text": "Дигар"}, {"status": "stopped"}, {"question": "Чаро?"}],
)
def test_an_answer_that_is_kept_otherwise_is_mixed_up(change):
    assert not is_own(HEARD, [{**KEPT, **change}])
    assert waits_count([HEARD], [{**KEPT, **change}], count_tokens=words).mixed_up == 1


def test_a_question_that_is_kept_twice_or_shown_otherwise_is_mixed_up():
    assert not is_own(HEARD, [KEPT, KEPT])
    assert not is_own(replace(HEARD, shown="Дигар"), [KEPT])


def test_whoever_waits_behind_another_is_to_hear_a_place():
    assert is_behind_another(HEARD, [HEARD, EARLIER])
    # Nobody was before; or who was had the first word soon; or the own came soon.
    assert not is_behind_another(HEARD, [HEARD])
    assert not is_behind_another(HEARD, [HEARD, replace(EARLIER, first_seconds=1.5)])
    assert not is_behind_another(replace(HEARD, first_seconds=0.5), [HEARD, EARLIER])
    untold = waits_count([replace(HEARD, places=[]), EARLIER], [KEPT], count_tokens=words)
    assert (untold.untold, waits_count([HEARD, EARLIER], [KEPT], count_tokens=words).untold) == (1, 0)


def test_the_waits_of_a_run_are_what_its_pupils_waited():
    quick = replace(HEARD, first_seconds=1.0, whole_seconds=2.0, pieces="Ҷавоб дуюм")
    waits = waits_count([HEARD] * 3 + [quick], [KEPT], count_tokens=words)
    assert (waits.first_p95, waits.first_p50, waits.first_max_over_median, waits.whole_p95) == (3.0, 3.0, 1.0, 5.0)
    assert waits.tokens_per_second_p50 == 0.5


def test_a_question_without_an_answer_holds_no_bar():
    lost = replace(HEARD, first_seconds=0.0, whole_seconds=0.0, pieces="", shown="")
    rows = {row.name: row for row in waits_rows([waits_count([lost, HEARD], [KEPT], count_tokens=words)])}
    assert not rows["unanswered"].holds
    assert not rows["ttft_p95_16_seconds"].holds


@pytest.mark.parametrize(("share", "value"), [(0.5, 10), (0.95, 19), (0.951, 20), (1.0, 20)])
def test_a_percentile_is_one_of_the_values(share, value):
    assert percentile(range(20, 0, -1), share) == value


def test_every_question_has_a_mark_of_its_own_and_a_pupil_one_lesson():
    asked = [
        questions_draw(run=run, pupil=pupil, count=3, rng=random.Random(run)) for run in (0, 1) for pupil in (0, 1)
    ]
    nonces = [each.nonce for questions in asked for each in questions]
    assert len(set(nonces)) == len(nonces) == 12
    assert all(each.question.endswith(each.nonce) for questions in asked for each in questions)
    assert all(len({(each.subject, each.grade) for each in questions}) == 1 for questions in asked)

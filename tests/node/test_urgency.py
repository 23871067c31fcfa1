"""What is worth a teacher's time comes first, and a class's topics tell of nobody."""

from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from node.ratings.topics import FEWEST_PUPILS, topics_count
from node.ratings.urgency import Answered, Signal, urgency_order
from tests.node.conftest import NOW


def answered(number, question, *, text="Ҷавоб.", conversation=None, minutes=0, **fields):
    given_fields = {"release": "c" * 64, "is_stopped": False} | fields
    return Answered(
        answer_id=UUID(int=number),
        conversation_id=UUID(int=1000 + (number if conversation is None else conversation)),
        question=question,
        text=text,
        finished_at=NOW + timedelta(minutes=minutes),
        **given_fields,
    )


def order(*rows, rated=()):
    return [
        (urgent.answer_id.int, urgent.signals) for urgent in urgency_order(rows, rated={UUID(int=n) for n in rated})
    ]


def test_disputed_goes_before_unsure_and_that_before_often_asked_and_that_before_the_newest():
    often = [answered(number, "Об чист?", text="H2O") for number in (31, 32, 33)]
    assert order(
        answered(1, "Наздиктарин?", minutes=9),
        *often,
        answered(2, "Нима?", is_stopped=True),
        answered(4, "Баҳс?", text="а", stars=(5,)),
        answered(5, "баҳс", text="б", stars=(1,), release="d" * 64),
    ) == [
        (5, (Signal.DISPUTED,)),
        (4, (Signal.DISPUTED,)),
        (2, (Signal.UNSURE,)),
        (33, (Signal.OFTEN,)),
        (1, ()),
    ]


def test_an_answer_that_the_model_gave_otherwise_too_counts_as_unsure_but_not_another_releases():
    assert order(answered(1, "Чаро?", text="а"), answered(2, "чаро", text="б")) == [
        (2, (Signal.UNSURE,)),
        (1, (Signal.UNSURE,)),
    ]
    assert order(answered(1, "Чаро?", text="а"), answered(2, "чаро", text="б", release="d" * 64)) == [(2, ()), (1, ())]


def test_an_asker_who_asks_again_was_not_helped_and_counts_once():
    rows = [answered(number, "Чаро?", conversation=1, minutes=number) for number in (1, 2, 3)]
    assert order(*rows) == [(3, (Signal.UNSURE,))]


def test_what_the_teacher_rated_word_for_word_is_not_offered_again():
    rows = [answered(1, "Чаро?"), answered(2, "чаро"), answered(3, "Чаро?", text="Дигар.")]
    assert order(*rows, rated=[2]) == [(3, (Signal.UNSURE, Signal.OFTEN))]


ROWS = st.lists(
    st.builds(
        answered,
        st.integers(0, 10**6),
        st.sampled_from(["а", "б", "А!", ""]),
        text=st.sampled_from(["х", "у"]),
        conversation=st.integers(0, 3),
        minutes=st.integers(0, 5),
        is_stopped=st.booleans(),
        stars=st.lists(st.integers(1, 5), max_size=3).map(tuple),
    ),
    unique_by=lambda row: row.answer_id,
    max_size=12,
)


@given(ROWS, st.randoms())
def test_the_queue_does_not_depend_on_the_order_of_the_rows(rows, chance):
    ids = {(row.question.casefold().strip("!"), row.text) for row in rows}
    ordered = urgency_order(rows, rated=set())
    assert len(ordered) == len(ids)
    shuffled = rows[:]
    chance.shuffle(shuffled)
    assert urgency_order(shuffled, rated=set()) == ordered


def test_a_topic_is_a_word_of_at_least_three_pupils_under_one_form():
    asked = [
        (1, "Фотосинтез чист?"),
        (2, "Фотосинтезро фаҳмонед"),
        (3, "Чаро фотосинтез лозим аст? Фотосинтез!"),
        (3, "Ман аз модарам метарсам"),
        (3, "Модарам, модарам, модарам"),
        (1, "модарам"),
    ]
    assert [(topic.word, topic.questions) for topic in topics_count(asked)] == [("фотосинтез", 3)]


def test_the_words_of_asking_are_no_topic():
    assert topics_count([(pupil, "Чаро? Почему? Explain please, фаҳмонед!") for pupil in range(9)]) == []


@given(st.lists(st.tuples(st.integers(0, 4), st.text(alphabet="абвгде ", max_size=30)), max_size=20))
def test_no_word_of_fewer_pupils_is_ever_told(asked):
    for topic in topics_count(asked):
        assert len({pupil for pupil, question in asked if topic.word in question.split()}) >= 1
        assert sum(topic.word[:4] in question for _pupil, question in asked) >= FEWEST_PUPILS

"""What the model is told before a pupil's question, and what a browser remembers of the lesson."""

import pytest

from node.chat.errors import LessonRefused
from node.chat.lesson import lesson_keep, lesson_of, lesson_read
from node.chat.pitch import LAST_GRADE, SUBJECTS, Lesson, lesson_instructions
from node.chat.questions import Said, messages_make
from node.subjects import Subject


def test_who_chose_nothing_is_asked_as_teachers_rate_it():
    assert lesson_instructions(Lesson()) == ""
    (message,) = messages_make(history=(), question="Чаро?", lesson=Lesson())
    assert (message.role, message.text) == ("user", "Чаро?")


def test_each_grade_is_named_and_the_manner_grows_with_it():
    told = {grade: lesson_instructions(Lesson(grade=grade)) for grade in range(1, LAST_GRADE + 1)}
    assert all(f"синфи {grade} " in told[grade] for grade in told)
    manners = [words.partition(" Хонанда дар синфи")[0] for words in told.values()]
    assert [manners.count(manner) for manner in dict.fromkeys(manners)] == [4, 5, 2]
    assert "содда" in manners[0]
    assert "илмиро" in manners[-1]


def test_every_subject_but_none_and_another_has_a_tajik_name():
    assert set(Subject) - set(SUBJECTS) == {Subject.NONE, Subject.OTHER}
    for subject, name in SUBJECTS.items():
        assert lesson_instructions(Lesson(subject=subject.value)) == f"Фан: {name}."


def test_the_hint_mode_forbids_the_answer_and_asks_back():
    told = lesson_instructions(Lesson(grade=7, subject="physics", is_hinted=True))
    # What most pupils share stands first.
    assert told.index("Ҷавоби тайёрро нагӯй") < told.index("синфи 7") < told.index("физика")
    assert "як савол пурс" in told


def test_the_instructions_come_before_what_was_said():
    messages = messages_make(history=[Said(question="а", answer="б")], question="в", lesson=Lesson(grade=3))
    assert [message.role for message in messages] == ["system", "user", "model", "user"]


@pytest.mark.parametrize(
    "fields",
    [{"grade": "12"}, {"grade": "-1"}, {"grade": "9" * 5000}, {"grade": "x"}, {"grade": "²"}, {"subject": "magic"}],
)
def test_a_lesson_that_no_school_has_is_refused(fields):
    with pytest.raises(LessonRefused):
        lesson_read(fields)


def test_a_browser_remembers_its_lesson_and_a_broken_memory_is_none():
    session = {}
    assert lesson_of(session) == Lesson()
    chosen = lesson_read({"grade": "6", "subject": "physics", "is_hinted": "1"})
    lesson_keep(session, chosen)
    assert lesson_of(session) == chosen == Lesson(grade=6, subject="physics", is_hinted=True)
    session["lesson"]["subject"] = "alchemy"
    assert lesson_of(session) == Lesson()

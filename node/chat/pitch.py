"""What the model is told before a pupil's question: the grade, the subject, and whether to lead instead of telling.

Always in Tajik, whatever language the page is in, because the model speaks Tajik. Who chose nothing gets no instruction
at all: such a question reads exactly as those do that teachers rate and schools learn from. A slow PC reads these words
anew for each question, so they are few; and what many are told comes first, because an engine that has read the same
opening for another pupil goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.subjects import Subject

LAST_GRADE = 11
_LAST_PRIMARY, _LAST_BASIC = 4, 9
_PRIMARY = "Бо ҷумлаҳои кӯтоҳ ва калимаҳои содда ҷавоб деҳ ва аз ҳаёти ҳаррӯза мисол биёр."
_BASIC = "Фаҳмо ва бо мисол ҷавоб деҳ; истилоҳи навро бори аввал шарҳ деҳ."
_SENIOR = "Пурра ва дақиқ ҷавоб деҳ ва истилоҳҳои илмиро истифода бар."
_HINT = (
    "Ҷавоби тайёрро нагӯй. Хонандаро қадам ба қадам роҳнамоӣ кун: як ишораи кӯтоҳ деҳ ва як савол пурс, ки ӯро ба "
    "қадами навбатӣ мебарад. Агар ӯ ҳалли худро нависад, бигӯ, ки чӣ дуруст ва чӣ нодуруст аст."
)
SUBJECTS = {
    Subject.MATHEMATICS: "математика",
    Subject.PHYSICS: "физика",
    Subject.CHEMISTRY: "химия",
    Subject.BIOLOGY: "биология",
    Subject.GEOGRAPHY: "география",
    Subject.HISTORY: "таърих",
    Subject.TAJIK_LANGUAGE: "забони тоҷикӣ",
    Subject.TAJIK_LITERATURE: "адабиёти тоҷик",
    Subject.RUSSIAN: "забони русӣ",
    Subject.ENGLISH: "забони англисӣ",
    Subject.INFORMATICS: "информатика",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What an answer is pitched to; a grade of 0 and an empty subject are none."""

    subject: str = ""
    grade: int = 0
    is_hinted: bool = False


def lesson_instructions(lesson: Lesson) -> str:
    """Return what the model is told before the question; empty where nothing was chosen."""
    sentences = [_HINT] if lesson.is_hinted else []
    if lesson.grade:
        sentences += [_manner(lesson.grade), f"Хонанда дар синфи {lesson.grade} мехонад."]
    if lesson.subject in SUBJECTS:
        sentences.append(f"Фан: {SUBJECTS[Subject(lesson.subject)]}.")
    return " ".join(sentences)


def _manner(grade: int) -> str:
    if grade <= _LAST_PRIMARY:
        return _PRIMARY
    return _BASIC if grade <= _LAST_BASIC else _SENIOR

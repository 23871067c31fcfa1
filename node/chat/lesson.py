"""The lesson that a browser has chosen, kept in its session until it chooses another."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from node.chat.errors import LessonRefused
from node.chat.pitch import LAST_GRADE, Lesson
from node.subjects import Subject

_KEY = "lesson"


def lesson_read(fields: Mapping[str, Any]) -> Lesson:
    """Return the lesson that a form was filled in with.

    Raises:
        LessonRefused: schools have no such grade or subject.
    """
    subject, grade = fields.get("subject", ""), fields.get("grade") or "0"
    if subject not in Subject.values or not grade.isdecimal() or not 0 <= int(grade[:3]) <= LAST_GRADE:
        raise LessonRefused
    return Lesson(subject=subject, grade=int(grade), is_hinted=fields.get("is_hinted") == "1")


def lesson_keep(session: MutableMapping[str, Any], lesson: Lesson) -> None:
    """Remember `lesson` in this session."""
    session[_KEY] = {"subject": lesson.subject, "grade": str(lesson.grade), "is_hinted": str(int(lesson.is_hinted))}


def lesson_of(session: Mapping[str, Any]) -> Lesson:
    """Return the lesson of this session; none where none was chosen, or where the subject is no more."""
    try:
        return lesson_read(session.get(_KEY, {}))
    except LessonRefused:
        return Lesson()

"""Take a school's roll in whole: every person of it has an account afterwards, or nothing has changed."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from node.accounts import AccountRefused, DrawnPassword, NewAccount, password_draw
from node.people.models import SchoolClass
from node.people.roll import RollLine, RollProblem, RollRole, refuse, roll_parse
from node.people.services import NewPupil, PeopleRefused, class_create, pupil_create, teacher_create


@dataclass(frozen=True, slots=True, kw_only=True)
class RollTaken:
    """The accounts that a roll made, with the PINs and passwords that are shown once."""

    pupils: tuple[NewPupil, ...]
    teachers: tuple[NewAccount, ...]


def roll_import(*, content: bytes) -> RollTaken:
    """Return the new accounts of everybody in the roll; classes that were not there yet now are.

    Raises:
        RollRefused: some lines cannot be taken; names each, and nothing was taken.
    """
    lines = roll_parse(content)
    # Before the transaction: a hundred hashes take a school's PC a minute, and nobody could ask meanwhile.
    passwords = {line.line: password_draw() for line in lines if line.role is RollRole.TEACHER}
    with transaction.atomic():
        return _take(lines, passwords)


def _take(lines: tuple[RollLine, ...], passwords: dict[int, DrawnPassword]) -> RollTaken:
    classes = _classes(lines)
    pupils: list[NewPupil] = []
    teachers: list[NewAccount] = []
    problems: list[RollProblem] = []
    for line in lines:
        try:
            if line.role is RollRole.PUPIL:
                pupils.append(_pupil(line, classes))
            else:
                teachers.append(_teacher(line, classes, passwords[line.line]))
        except PeopleRefused as error:
            problems.append(RollProblem(line.line, str(error.fields["reason"])))
        except AccountRefused as error:
            problems.append(RollProblem(line.line, f"username_{error.fields['reason']}"))
    if problems:
        refuse(problems)
    return RollTaken(pupils=tuple(pupils), teachers=tuple(teachers))


def _classes(lines: tuple[RollLine, ...]) -> dict[str, SchoolClass]:
    known = {school_class.name: school_class for school_class in SchoolClass.objects.all()}
    for name in sorted({name for line in lines for name in line.classes} - set(known)):
        known[name] = class_create(name=name)
    return known


def _pupil(line: RollLine, classes: dict[str, SchoolClass]) -> NewPupil:
    return pupil_create(school_class=classes[line.classes[0]], last_name=line.last_name, first_name=line.first_name)


def _teacher(line: RollLine, classes: dict[str, SchoolClass], password: DrawnPassword) -> NewAccount:
    return teacher_create(
        username=line.username,
        last_name=line.last_name,
        first_name=line.first_name,
        classes=[classes[name] for name in line.classes],
        password=password,
    )

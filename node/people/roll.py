"""Read a school's roll from a table of commas, semicolons or tabs. Pure: bytes in, people out, or every line's problem.

The first line names the columns, in Tajik, Russian or English, in any order. Excel writes UTF-8 with a mark («CSV
UTF-8») or UTF-16 («Unicode text»); the old Windows encodings lack Tajik letters and are refused instead of guessed at.
"""

from __future__ import annotations

import codecs
import csv
import enum
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from federation.errors import WireError
from node.people.names import MAX_CLASS_NAME, MAX_PERSON_NAME, class_name_read, person_name_read

MAX_BYTES = 512 * 1024
MAX_LINES = 3000
MAX_PROBLEMS = 50
MAX_USERNAME = 150


class RollRole(enum.Enum):
    """Who may stand in a roll; the head makes heads one by one."""

    PUPIL = "pupil"
    TEACHER = "teacher"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollLine:
    """One person; `line` counts from 1, which is the line of the columns' names."""

    line: int
    role: RollRole
    last_name: str
    first_name: str
    classes: tuple[str, ...]
    username: str


@dataclass(frozen=True, slots=True)
class RollProblem:
    """Why a line cannot be taken; line 0 is the file as a whole."""

    line: int
    reason: str


class RollRefused(WireError):
    """The roll cannot be taken as it is; `problems` names each line. Nothing of it was taken."""

    code = "roll_refused"

    def __init__(self, *, problems: tuple[RollProblem, ...]) -> None:
        super().__init__(problems=len(problems))
        self.problems = problems


COLUMNS = {
    "role": ("role", "нақш", "роль"),
    "last_name": ("last name", "surname", "насаб", "фамилия"),
    "first_name": ("first name", "name", "ном", "имя"),
    "class": ("class", "classes", "синф", "синфҳо", "класс", "классы"),
    "username": ("username", "user name", "номи воридшавӣ", "имя для входа", "логин"),
}
ROLES = {
    RollRole.PUPIL: ("", "pupil", "student", "хонанда", "ученик", "ученица"),
    RollRole.TEACHER: ("teacher", "омӯзгор", "муаллим", "учитель", "учительница"),
}
_COLUMN_OF = {word: column for column, words in COLUMNS.items() for word in words}
_ROLE_OF = {word: role for role, words in ROLES.items() for word in words}


def roll_parse(content: bytes) -> tuple[RollLine, ...]:
    """Return the people of the roll in its order.

    Raises:
        RollRefused: the file or some of its lines cannot be read; names each.
    """
    rows = _rows(_text(content))
    columns = _columns(rows[0])
    lines: list[RollLine] = []
    problems: list[RollProblem] = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        read = _line(number, dict(zip(columns, [*row, *[""] * len(columns)], strict=False)))
        if isinstance(read, RollProblem):
            problems.append(read)
        else:
            lines.append(read)
    problems += _twice(lines)
    if problems or not lines:
        refuse(problems or [RollProblem(0, "empty")])
    return tuple(lines)


def refuse(problems: list[RollProblem]) -> NoReturn:
    """Raise the refusal for `problems`, in the order of the lines, no more than somebody reads."""
    raise RollRefused(problems=tuple(sorted(problems, key=lambda problem: problem.line)[:MAX_PROBLEMS]))


def _text(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        refuse([RollProblem(0, "too_large")])
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError:
        refuse([RollProblem(0, "not_utf8")])


def _rows(text: str) -> list[list[str]]:
    first = text.split("\n", 1)[0]
    delimiter = max("\t;,", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        refuse([RollProblem(0, "not_a_table")])
    if not rows:
        refuse([RollProblem(0, "empty")])
    if len(rows) > MAX_LINES:
        refuse([RollProblem(0, "too_large")])
    return rows


def _columns(row: list[str]) -> list[str]:
    columns = [_COLUMN_OF.get(" ".join(cell.split()).casefold(), "") for cell in row]
    named = [column for column in columns if column]
    if not {"first_name", "class"} <= set(named) or len(named) != len(set(named)) or len(named) != len(columns):
        refuse([RollProblem(1, "columns_unknown")])
    return columns


def _line(number: int, cells: dict[str, str]) -> RollLine | RollProblem:
    role = _ROLE_OF.get(cells.get("role", "").strip().casefold())
    if role is None:
        return RollProblem(number, "role_unknown")
    line = RollLine(
        line=number,
        role=role,
        last_name=person_name_read(cells.get("last_name", "")),
        first_name=person_name_read(cells["first_name"]),
        classes=tuple(class_name_read(name) for name in cells["class"].split("+") if name.strip()),
        username=cells.get("username", "").strip(),
    )
    reason = _problem(line)
    return RollProblem(number, reason) if reason else line


def _problem(line: RollLine) -> str:
    if not line.first_name or max(len(line.first_name), len(line.last_name)) > MAX_PERSON_NAME:
        return "name_invalid"
    if any(len(name) > MAX_CLASS_NAME for name in line.classes):
        return "class_name_invalid"
    if line.role is RollRole.PUPIL and len(line.classes) != 1:
        return "class_missing"
    if line.role is RollRole.TEACHER and not 0 < len(line.username) <= MAX_USERNAME:
        return "username_missing"
    return ""


def _twice(lines: list[RollLine]) -> Iterator[RollProblem]:
    seen: set[tuple[str, ...]] = set()
    for line in lines:
        is_pupil = line.role is RollRole.PUPIL
        key = (*line.classes, line.last_name, line.first_name) if is_pupil else (line.username.casefold(),)
        if key in seen:
            yield RollProblem(line.line, "twice")
        seen.add(key)

"""Read a list of schools from a CSV file, and take it in: all of it, or nothing.

The first line names the columns: `name`, and where known `region` and `district`, in any order. A comma or a semicolon
parts them, as spreadsheets of different languages write it. Other columns are ignored.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from central.schools.errors import SchoolListInvalid
from central.schools.models import School

MAX_BYTES = 8 * 1024 * 1024
_LONGEST = {"name": 200, "region": 120, "district": 120}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSchool:
    """One line of the list."""

    name: str
    region: str
    district: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenIn:
    """What a list has changed."""

    added: int
    changed: int
    unchanged: int


def school_list_read(content: bytes) -> tuple[ListedSchool, ...]:
    """Return the schools that the CSV `content` lists, in order.

    Raises:
        SchoolListInvalid: not UTF-8, no column `name`, a name that is missing, too long or there twice.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SchoolListInvalid(line=1, problem="not UTF-8") from error
    head = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter=";" if head.count(";") > head.count(",") else ",")
    if "name" not in (reader.fieldnames or ()):
        raise SchoolListInvalid(line=1, problem="no column called name")
    lines: dict[str, ListedSchool] = {}
    for row in reader:
        school = _school(row, reader.line_num)
        if school.name in lines:
            raise SchoolListInvalid(line=reader.line_num, problem=f"{school.name} stands there twice")
        lines[school.name] = school
    return tuple(lines.values())


def _school(row: dict[str, str | None], line: int) -> ListedSchool:
    cells = {name: " ".join((row.get(name) or "").split()) for name in _LONGEST}
    if not cells["name"]:
        raise SchoolListInvalid(line=line, problem="no name")
    for name, longest in _LONGEST.items():
        if len(cells[name]) > longest or not cells[name].isprintable():
            raise SchoolListInvalid(line=line, problem=f"{name} is longer than {longest} letters, or has odd ones")
    return ListedSchool(**cells)


def school_list_take_in(*, schools: Sequence[ListedSchool], now: datetime) -> TakenIn:
    """Keep every listed school, known ones by their name with the listed region and district."""
    with transaction.atomic():
        known = {school.name: school for school in School.objects.select_for_update()}
        new = [listed for listed in schools if listed.name not in known]
        changed = [known[listed.name] for listed in schools if listed.name in known and _apply(known, listed)]
        School.objects.bulk_create(
            [School(name=each.name, region=each.region, district=each.district, created_at=now) for each in new],
            batch_size=500,
        )
        School.objects.bulk_update(changed, ["region", "district"], batch_size=500)
    unchanged = len(schools) - len(new) - len(changed)
    return TakenIn(added=len(new), changed=len(changed), unchanged=unchanged)


def _apply(known: dict[str, School], listed: ListedSchool) -> bool:
    school = known[listed.name]
    before = (school.region, school.district)
    school.region, school.district = listed.region, listed.district
    return before != (listed.region, listed.district)

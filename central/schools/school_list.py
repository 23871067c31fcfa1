"""Read a list of schools from a CSV file, and take it in: all of it, or nothing.

The first line names the columns: `name`, and where known `region`, `district`, `kind` and `tags`, in any order. A comma
or a semicolon parts them, as spreadsheets of different languages write it. Other columns are ignored, and what a list
has no column for stays as it is. Tags in a cell are parted by `|`.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from central.schools.audit import audit_record
from central.schools.errors import OutsideRegion, RoleReadsOnly, SchoolListInvalid
from central.schools.models import School, Tag
from central.schools.reach import reach_of_actor

MAX_BYTES = 8 * 1024 * 1024
_LONGEST = {"name": 200, "region": 120, "district": 120, "kind": 60}
_TAG_LONGEST = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSchool:
    """One line of the list."""

    name: str
    region: str
    district: str
    kind: str | None = None
    """None where the list has no such column."""
    tags: tuple[str, ...] | None = None
    """None where the list has no such column."""


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
    cells = {name: _words(row.get(name)) for name in _LONGEST}
    if not cells["name"]:
        raise SchoolListInvalid(line=line, problem="no name")
    for name, longest in _LONGEST.items():
        if len(cells[name]) > longest or not cells[name].isprintable():
            raise SchoolListInvalid(line=line, problem=f"{name} is longer than {longest} letters, or has odd ones")
    tags = _tags(row.get("tags"), line) if "tags" in row else None
    kind = cells.pop("kind") if "kind" in row else None
    return ListedSchool(name=cells["name"], region=cells["region"], district=cells["district"], kind=kind, tags=tags)


def _words(cell: str | None) -> str:
    return " ".join((cell or "").split())


def _tags(cell: str | None, line: int) -> tuple[str, ...]:
    tags = sorted({tag for tag in map(_words, (cell or "").split("|")) if tag})
    if not all(len(tag) <= _TAG_LONGEST and tag.isprintable() for tag in tags):
        raise SchoolListInvalid(line=line, problem=f"a tag is longer than {_TAG_LONGEST} letters, or has odd ones")
    return tuple(tags)


def school_list_take_in(*, schools: Sequence[ListedSchool], actor: str, now: datetime) -> TakenIn:
    """Keep every listed school, known ones by their name with what the list says of them.

    Raises:
        RoleReadsOnly, OutsideRegion: `actor` has no say at one of them; nothing of the list is taken.
    """
    reach = reach_of_actor(actor)
    if not reach.steers:
        raise RoleReadsOnly(user=actor)
    with transaction.atomic():
        known = {school.name: school for school in School.objects.select_for_update()}
        for listed in schools:
            held = known.get(listed.name)
            if not reach.holds_region(listed.region) or not reach.holds_region(held.region if held else listed.region):
                raise OutsideRegion(region=reach.region, entity=listed.name)
        new = [listed for listed in schools if listed.name not in known]
        changed = {listed.name for listed in schools if listed.name in known and _apply(known, listed)}
        made = School.objects.bulk_create(
            [
                School(name=each.name, region=each.region, district=each.district, kind=each.kind or "", created_at=now)
                for each in new
            ],
            batch_size=500,
        )
        School.objects.bulk_update([known[name] for name in changed], ["region", "district", "kind"], batch_size=500)
        changed |= _tags_set(schools, {**known, **{school.name: school for school in made}}) - {e.name for e in new}
        counts = f"{len(new)} added, {len(changed)} changed"
        audit_record(actor=actor, entity="schools.school list", old="", new="imported", reason=counts, now=now)
    return TakenIn(added=len(new), changed=len(changed), unchanged=len(schools) - len(new) - len(changed))


def _apply(known: dict[str, School], listed: ListedSchool) -> bool:
    school = known[listed.name]
    before = (school.region, school.district, school.kind)
    school.region, school.district = listed.region, listed.district
    school.kind = school.kind if listed.kind is None else listed.kind
    return before != (school.region, school.district, school.kind)


def _tags_set(schools: Sequence[ListedSchool], rows: dict[str, School]) -> set[str]:
    """Leave each school with the tags that the list gives it; return the names of those that had others."""
    tagged = [listed for listed in schools if listed.tags is not None]
    names = {name for listed in tagged for name in listed.tags or ()}
    Tag.objects.bulk_create([Tag(name=name) for name in sorted(names)], ignore_conflicts=True)
    tags = {tag.name: tag.pk for tag in Tag.objects.filter(name__in=names)} if names else {}
    links = School.tags.through
    wanted = {(rows[listed.name].pk, tags[name]) for listed in tagged for name in listed.tags or ()}
    pks = {rows[listed.name].pk: listed.name for listed in tagged}
    held = {(link.school_id, link.tag_id): link.pk for link in links.objects.all() if link.school_id in pks}
    links.objects.filter(pk__in=[pk for pair, pk in held.items() if pair not in wanted]).delete()
    added = wanted - held.keys()
    links.objects.bulk_create([links(school_id=school, tag_id=tag) for school, tag in sorted(added)], batch_size=500)
    return {pks[school] for school, _tag in added | (held.keys() - wanted)}

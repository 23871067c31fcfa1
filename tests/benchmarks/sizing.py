"""`make bench-sizing`: what a school and its year take of the centre's database, and what grows with the schools.

A country is filled in; the bytes of each table and its indexes, by PostgreSQL's own count, are divided by its rows and
multiplied by how many of them a school's year has. Not counted: rows that are swept, and room that updates leave behind
until VACUUM gives it to others. Then what the worker does at each tick, and what a scrape reads, is timed by processor.
docs/sizing.md goes on from there.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import django.db

from tests.benchmarks.checkins.running import POSTGRESQL, site_make
from tests.benchmarks.report import Row, report, row

SCHOOLS, RATINGS, COPIES, SEED = 1000, 5000, 19, 20261127
REPEATS = 3
CENTRE_SCHOOLS = 4050
STANDS = ("schools_school", "schools_node", "feedback_outboxcursor")
"""Of each school one row, whatever the year brings."""
YEAR: Mapping[str, int] = {
    # As many as `make bench-admin` has: a million of 4,000 schools in half a year.
    "feedback_rating": 500,
    "feedback_receivedparcel": 500,
    # A release each fortnight, each with two moves that are kept: offered, and how it ended.
    "rollouts_assignment": 26,
    "schools_auditevent": 52,
    "schools_auditlink": 52,
    # A round each fortnight, of a quarter of the schools (docs/operations.md, «The SuperLink»).
    "training_update": 7,
}
# What the country leaves out: a parcel has the words of its rating once more, and each move of an assignment its link.
PARCELS_FILLED = """
UPDATE feedback_receivedparcel AS parcel SET body = jsonb_build_object(
    'record_id', rating.record_id, 'revision', rating.revision, 'question', rating.question, 'answer', rating.answer,
    'correction', rating.correction, 'stars', rating.stars, 'subject', rating.subject, 'grade', rating.grade,
    'release', rating.release, 'teacher', rating.teacher, 'rated_at', rating.rated_at)
FROM feedback_rating AS rating WHERE (rating.node_id, rating.record_id) = (parcel.node_id, parcel.record_id)
"""
EVENTS_FILLED = """
INSERT INTO schools_auditevent (actor, entity, old, new, reason, at)
SELECT 'node ' || node_id, 'rollouts.assignment ' || (id + 1000000 * move), 'offered', 'committed', '', created_at
FROM rollouts_assignment, generate_series(1, 20) AS move
"""
LINKS_FILLED = """
INSERT INTO schools_auditlink (number, event_id, previous_hash, own_hash)
SELECT row_number() OVER (ORDER BY id), id, md5(id::text) || md5('a' || id), md5((id + 1)::text) || md5('a' || (id + 1))
FROM schools_auditevent
"""
SIZES = """
SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relname = ANY(%s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """One table with its indexes."""

    rows: int
    size_bytes: int

    @property
    def row_bytes(self) -> float:
        """What one row takes, with its part of the indexes."""
        return self.size_bytes / max(self.rows, 1)


def main() -> int:
    """Fill a new database, report, and drop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schools", type=int, default=SCHOOLS)
    parser.add_argument("--ratings", type=int, default=RATINGS)
    parser.add_argument("--copies", type=int, default=COPIES, help="of each rating, made by PostgreSQL")
    arguments = parser.parse_args()
    with site_make("sizing", "postgres") as site:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "central.settings",
            "SORO_CENTRAL_DATABASE_URL": f"{POSTGRESQL.rpartition('/')[0]}/{site.database}",
            "SORO_CENTRAL_ROOT": str(site.root),
        }
        django.setup()
        rows = sizing_rows(_measured(arguments)) + _growing()
        django.db.connections.close_all()
    return report("sizing", rows)


def sizing_rows(sizes: Mapping[str, TableSize]) -> list[Row]:
    """Return what each kind of row takes, what a school and its year do, and a centre and one ten times as large."""
    stands = sum(sizes[name].row_bytes for name in STANDS)
    year = sum(sizes[name].row_bytes * number for name, number in YEAR.items())
    centre_gb = CENTRE_SCHOOLS * year / 1e9
    return [
        *(row(f"{name}_bytes", sizes[name].row_bytes, "bytes a row, with indexes") for name in (*STANDS, *YEAR)),
        row("school_kb", stands / 1e3, "kB a school, once"),
        row("school_year_kb", year / 1e3, "kB a school and year"),
        row("centre_year_gb", centre_gb, f"GB a year, {CENTRE_SCHOOLS:,} schools"),
        row("centre_year_gb_ten", 10 * centre_gb, "GB a year, ten times as many"),
    ]


def _measured(arguments: argparse.Namespace) -> dict[str, TableSize]:
    from django.core.management import call_command  # noqa: PLC0415 - Django's settings come first
    from django.db import connection  # noqa: PLC0415
    from django.utils import timezone  # noqa: PLC0415

    from tests.benchmarks.country_rows import country_make  # noqa: PLC0415

    call_command("migrate", verbosity=0, interactive=False)
    country_make(
        schools=arguments.schools,
        ratings=arguments.ratings,
        copies=arguments.copies,
        seed=SEED,
        now=timezone.now(),
    )
    with connection.cursor() as cursor:
        for statement in (PARCELS_FILLED, EVENTS_FILLED, LINKS_FILLED):
            cursor.execute(statement)
        # What an update has left behind is no part of a row.
        cursor.execute("VACUUM (FULL, ANALYZE)")
        names = [*STANDS, *YEAR]
        cursor.execute(SIZES, [names])
        found = dict(cursor.fetchall())
        return {name: TableSize(rows=_count(cursor, name), size_bytes=found[name]) for name in names}


def _growing() -> list[Row]:
    """Return what a tick with one open wave, and a scrape, take of a core for each thousand of schools."""
    from django.utils import timezone  # noqa: PLC0415 - Django's settings come first

    from central.metrics.figures import schools_read  # noqa: PLC0415
    from central.rollouts.evidence import wave_counts  # noqa: PLC0415
    from central.rollouts.models import Wave  # noqa: PLC0415
    from central.schools.models import Node  # noqa: PLC0415

    now, wave = timezone.now(), Wave.objects.latest("number")
    work = {
        "tick_ms_a_thousand": (lambda: wave_counts(wave, now=now), wave.assignments.count()),
        "scrape_ms_a_thousand": (lambda: list(schools_read(now)), Node.objects.active().count()),
    }
    return [
        row(name, 1e6 * min(_processor_seconds(do) for _ in range(REPEATS)) / schools, "ms of a core, of 1,000 schools")
        for name, (do, schools) in work.items()
    ]


def _processor_seconds(do: Callable[[], object]) -> float:
    began = time.process_time()
    do()
    return time.process_time() - began


def _count(cursor: object, name: str) -> int:
    cursor.execute(f"SELECT count(*) FROM {name}")  # type: ignore[attr-defined] # noqa: S608 - our own names
    return int(cursor.fetchone()[0])  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())

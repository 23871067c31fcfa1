"""`make bench-admin`: how soon the admin's pages answer over 4,000 schools and a million ratings on PostgreSQL.

The database is made once (some minutes) and kept on the server that SORO_TEST_POSTGRESQL names; drop it for a new one.
A page is asked for as a browser does, through Django's whole stack and in Tajik; its figure is the second slowest of
seven. On a busy machine it tells more of the machine: `load_average` is what waited for its cores meanwhile.
"""

from __future__ import annotations

import os
import sys
import time

import django
import psycopg

from tests.benchmarks.report import BENCH_ROOT, Row, report, row

SCHOOLS, RATINGS, COPIES, SEED = 4_000, 40_000, 24, 20261126
SERVER = os.environ.get("SORO_TEST_POSTGRESQL", "postgres://postgres@127.0.0.1:5432/postgres")
NAME = "soro_bench_admin"
REPEATS = 7
MOST_MILLISECONDS = 300
MOST_QUERIES = 60
PAGES = {
    "dashboard": "/admin/",
    "ratings": "/admin/feedback/rating/",
    "ratings_of_subject": "/admin/feedback/rating/?subject=%D1%84%D0%B8%D0%B7%D0%B8%D0%BA%D0%B0",
    "ratings_of_region": "/admin/feedback/rating/?node__school__region=%D0%92%D0%9C%D0%9A%D0%91",
    "ratings_accepted": "/admin/feedback/rating/?status__exact=accepted",
    "ratings_last_page": "/admin/feedback/rating/?p=9999",
    "review": "/admin/feedback/rating/review/",
    "trends": "/admin/feedback/ratingtrend/",
    "parcels": "/admin/feedback/receivedparcel/",
    "parcels_in_quarantine": "/admin/feedback/receivedparcel/?status__exact=quarantined",
    "schools": "/admin/schools/school/",
    "nodes": "/admin/schools/node/",
    "nodes_silent": "/admin/schools/node/?contact=longer",
    "rollouts": "/admin/rollouts/rollout/",
    "waves": "/admin/rollouts/wave/",
    "assignments": "/admin/rollouts/assignment/",
    "updates": "/admin/training/update/",
}


def main() -> int:
    """Make the database where it is missing, measure every page, and report; return 0 when every bar holds."""
    is_new = _database_make()
    _django_start()
    if is_new:
        _fill()
    rows = [*_rows(), *_counting_rows()]
    return report("admin", [*rows, row("load_average", round(os.getloadavg()[0], 1), "processes")])


def _database_make() -> bool:
    with psycopg.connect(SERVER.replace("postgres://", "postgresql://"), autocommit=True) as server:
        if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
            return False
        server.execute(f"CREATE DATABASE {NAME}")  # type: ignore[call-overload]
    return True


def _django_start() -> None:
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "central.settings",
        "SORO_CENTRAL_DATABASE_URL": f"{SERVER.rpartition('/')[0]}/{NAME}",
        "SORO_CENTRAL_ROOT": str(BENCH_ROOT / "admin"),
    }
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 - Django's settings come first

    call_command("createcachetable", verbosity=0)
    call_command("migrate", verbosity=0, interactive=False)


def _fill() -> None:
    from django.contrib.auth import get_user_model  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from django.utils import timezone  # noqa: PLC0415

    from tests.benchmarks.country_rows import country_make  # noqa: PLC0415

    get_user_model().objects.create_superuser("bench", password="bench")
    country_make(schools=SCHOOLS, ratings=RATINGS, copies=COPIES, seed=SEED, now=timezone.now())
    with connection.cursor() as cursor:
        # What autovacuum does within minutes.
        cursor.execute("VACUUM ANALYZE")


def _counting_rows() -> list[Row]:
    """Measure what is counted behind the pages."""
    from django.utils import timezone  # noqa: PLC0415

    from central.feedback.agreement_count import agreement_count  # noqa: PLC0415
    from central.feedback.trends import weeks_count  # noqa: PLC0415

    began = time.perf_counter()
    weeks_count(now=timezone.now())
    weeks_seconds = time.perf_counter() - began
    agreement_count(now=timezone.now())
    agreement_seconds = time.perf_counter() - began - weeks_seconds
    return [
        row("weeks_count_seconds", round(weeks_seconds, 2), "s", at_most=60),
        row("agreement_count_seconds", round(agreement_seconds, 2), "s", at_most=60),
    ]


def _rows() -> list[Row]:
    from django.contrib.auth import get_user_model  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415
    from django.utils import timezone  # noqa: PLC0415

    from central.feedback.trends import weeks_count  # noqa: PLC0415

    weeks_count(now=timezone.now())
    client = Client(SERVER_NAME="127.0.0.1", headers={"Accept-Language": "tg"})
    client.force_login(get_user_model().objects.get(username="bench"))
    rows = []
    for name, place in PAGES.items():
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(place, follow=True)
        asked = len(queries)
        if answer.status_code != 200:
            raise SystemExit(f"{place} answers {answer.status_code}")
        took = sorted(_milliseconds(client, place) for _ in range(REPEATS))
        slow = took[-2]
        rows += [
            row(f"{name}_ms", round(slow, 1), "ms", at_most=MOST_MILLISECONDS),
            row(f"{name}_queries", asked, "queries", at_most=MOST_QUERIES),
        ]
    return rows


def _milliseconds(client: object, place: str) -> float:
    began = time.perf_counter()
    client.get(place, follow=True)  # type: ignore[attr-defined]
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())

"""A whole country in the centre's tables, at once: schools, PCs, releases, a rollout, a round, parcels and ratings.

Not by the services, which would take a day for a million ratings; every row keeps the constraints of its table. From
one seed come the same rows.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from django.db import connection

from central.feedback.agreement import turn_key_of
from central.feedback.models import OutboxCursor, Rating, ReviewStatus
from central.releases.models import Release, ReleaseKindChoice, ReleaseStatus
from central.rollouts.models import Assignment, AssignmentStatus, PauseReason, Rollout, RolloutStatus, Wave, WaveStatus
from central.schools.models import Node, NodeStatus, School
from central.training.models import Plan, Round, Season, Update, UpdateStatus

REGIONS = (
    ("Вилояти Суғд", 0.30),
    ("Вилояти Хатлон", 0.36),
    ("Ноҳияҳои тобеи ҷумҳурӣ", 0.22),
    ("Шаҳри Душанбе", 0.05),
    ("ВМКБ", 0.07),
)
SUBJECTS = (
    "забони тоҷикӣ",
    "математика",
    "физика",
    "химия",
    "биология",
    "география",
    "таърих",
    "забони русӣ",
    "забони англисӣ",
)
WEEKS = 26
RATINGS_COPIED = """
INSERT INTO feedback_rating
    (node_id, record_id, revision, is_deleted, status, masked_revision, question, answer, stars, correction,
     edited_correction, reasons, subject, grade, release, teacher, rated_at, received_at, turn_key)
SELECT node_id, record_id || '-' || copy, revision, is_deleted, status, masked_revision, question || ' ' || copy,
    answer, stars, correction, edited_correction, reasons, subject, grade, release, teacher, rated_at,
    received_at - copy * interval '1 minute', CASE WHEN copy %% 20 = 0 THEN turn_key ELSE md5(turn_key || copy) END
FROM feedback_rating CROSS JOIN generate_series(1, %s) AS copy
"""
PARCELS_OF_RATINGS = """
INSERT INTO feedback_receivedparcel
    (node_id, epoch, seq, event_id, record_id, revision, kind, body, is_erased, status, code, received_at)
SELECT node_id, 'epoch-1', id, record_id, record_id, 1, 'rating', '{}', false,
    CASE WHEN id % 1000 = 0 THEN 'quarantined' ELSE 'accepted' END,
    CASE WHEN id % 1000 = 0 THEN 'malformed_document' ELSE '' END, received_at
FROM feedback_rating
"""
BATCH = 2000


def country_make(*, schools: int, ratings: int, seed: int, now: datetime, copies: int = 0) -> None:
    """Fill an empty, migrated database with `schools` schools of one PC each, and `ratings` ratings of half a year.

    PostgreSQL adds so many `copies` of each rating by itself, with other questions and minutes.
    """
    rng = random.Random(seed)
    releases = _releases(now)
    nodes = _nodes(schools, releases, rng, now)
    _rollout(nodes, releases[-1], rng, now)
    _round(nodes, releases[0], rng, now)
    rows = _ratings(nodes, ratings, releases, rng, now)
    while batch := list(islice(rows, BATCH)):
        Rating.objects.bulk_create(batch)
    if copies:
        with connection.cursor() as cursor:
            cursor.execute(RATINGS_COPIED, [copies])
    _parcels()


def _releases(now: datetime) -> list[Release]:
    base = _release(1, "Соро, асос", None, now - timedelta(days=200))
    return [
        base,
        *(_release(n, f"Соро, мутобиқсозии {n - 1}", base, now - timedelta(days=200 - 40 * n)) for n in (2, 3, 4)),
    ]


def _release(version: int, title: str, base: Release | None, at: datetime) -> Release:
    return Release.objects.create(
        kind=ReleaseKindChoice.ADAPTER if base else ReleaseKindChoice.BASE,
        version=version,
        title=title,
        base=base,
        status=ReleaseStatus.READY,
        digest=f"{version:064x}",
        index_bytes=b"{}",
        created_by="bench",
        created_at=at,
        published_at=at,
    )


def _nodes(count: int, releases: list[Release], rng: random.Random, now: datetime) -> list[Node]:
    names, weights = zip(*REGIONS, strict=True)
    regions = rng.choices(names, weights, k=count)
    schools = School.objects.bulk_create(
        [
            School(name=f"Мактаби №{n}", region=region, district=f"Ноҳияи {n % 68}", kind="миёна", created_at=now)
            for n, region in enumerate(regions, start=1)
        ],
        batch_size=BATCH,
    )
    return Node.objects.bulk_create([_node(school, releases, rng, now) for school in schools], batch_size=BATCH)


def _node(school: School, releases: list[Release], rng: random.Random, now: datetime) -> Node:
    silent = rng.choices((0.2, 3, 14, 50, None), (50, 30, 12, 5, 3))[0]
    return Node(
        school=school,
        status=NodeStatus.ACTIVE if rng.random() > 0.02 else NodeStatus.CLAIMED,
        public_key=f"key {school.name}",
        hostname="maktab-pc",
        created_at=now - timedelta(days=190),
        claimed_at=now - timedelta(days=180),
        last_contact_at=None if silent is None else now - timedelta(days=silent * (0.5 + rng.random())),
        running="" if silent is None else rng.choices(releases, (5, 10, 25, 60))[0].digest,
        problems=["disk"] if rng.random() < 0.02 else [],
        contact_days=rng.getrandbits(30),
    )


def _rollout(nodes: list[Node], release: Release, rng: random.Random, now: datetime) -> None:
    rollout = Rollout.objects.create(
        release=release,
        status=RolloutStatus.PAUSED,
        pause_reason=PauseReason.INCONCLUSIVE,
        created_by="Зарина",
        approved_by="Фарҳод",
        created_at=now - timedelta(days=12),
        started_at=now - timedelta(days=11),
    )
    waves = [
        Wave.objects.create(rollout=rollout, number=n, name=name, percent=percent, status=status, opened_at=opened)
        for n, (name, percent, status, opened) in enumerate(
            (
                ("озмоишӣ", 2, WaveStatus.PASSED, now - timedelta(days=11)),
                ("чоряк", 25, WaveStatus.INCONCLUSIVE, now - timedelta(days=5)),
                ("ҳама", 100, WaveStatus.PENDING, None),
            ),
            start=1,
        )
    ]
    bounds = (len(nodes) // 50, len(nodes) // 4, len(nodes))
    rows = []
    for place, node in enumerate(nodes):
        number = next(n for n, bound in enumerate(bounds) if place < bound)
        status = AssignmentStatus.PENDING if number == 2 else _assignment_status(rng, is_first=number == 0)
        is_offered = status != AssignmentStatus.PENDING
        rows.append(
            Assignment(
                rollout=rollout,
                wave=waves[number],
                node=node,
                status=status,
                sequence=place + 1 if is_offered else None,
                created_at=now - timedelta(days=11),
                offered_at=now - timedelta(days=4) if is_offered else None,
            )
        )
    Assignment.objects.bulk_create(rows, batch_size=BATCH)


def _assignment_status(rng: random.Random, *, is_first: bool) -> AssignmentStatus:
    choices = {
        AssignmentStatus.COMMITTED: 95 if is_first else 60,
        AssignmentStatus.DOWNLOADING: 2 if is_first else 20,
        AssignmentStatus.REVERTED: 1,
        AssignmentStatus.FAILED_DOWNLOAD: 1,
        AssignmentStatus.PENDING: 0 if is_first else 15,
        AssignmentStatus.SKIPPED: 1,
    }
    return rng.choices(list(choices), list(choices.values()))[0]


def _round(nodes: list[Node], base: Release, rng: random.Random, now: datetime) -> None:
    season = Season.objects.create(season_id="s" * 32, base=base, wanted=200, opened_by="Зарина", opened_at=now)
    plan = Plan.objects.create(
        plan_id="p" * 32, season=season, envelope=b"", issued_at=now, closes_at=now + timedelta(days=30)
    )
    round_ = Round.objects.create(
        round_id="r" * 32,
        season=season,
        number=1,
        wanted=200,
        minimum=50,
        opened_by="Зарина",
        opened_at=now,
        closes_at=now + timedelta(days=30),
    )
    updates = [
        Update(
            plan=plan,
            round=round_,
            node=node,
            counter=1,
            status=UpdateStatus.ACCEPTED,
            digest=f"{rng.getrandbits(256):064x}",
            size_bytes=120_000,
            labels=rng.randint(2, 64),
            received_at=now,
        )
        for node in rng.sample(nodes, min(120, len(nodes) // 2))
    ]
    Update.objects.bulk_create(updates)


def _ratings(
    nodes: list[Node], count: int, releases: list[Release], rng: random.Random, now: datetime
) -> Iterator[Rating]:
    answer = "Ҷавоби намуна аз китоби дарсӣ. " * 12
    for n in range(count):
        age = timedelta(seconds=rng.random() * WEEKS * 7 * 86_400)
        subject = rng.choice(SUBJECTS)
        release = releases[min(3, int(4 * (1 - age / timedelta(weeks=WEEKS))))]
        is_good = rng.random() < 0.55 + 0.08 * release.version + 0.02 * SUBJECTS.index(subject) - 0.08
        # Most turns are one teacher's own; of a few everybody asks the same.
        question = f"Саволи {n % 500 if rng.random() < 0.05 else n} аз {subject}?"
        correction = "" if is_good or rng.random() < 0.4 else f"Ҷавоби дуруст ба саволи {n}. " * 4
        is_judged = age > timedelta(weeks=2)
        yield Rating(
            node=rng.choice(nodes),
            record_id=f"record-{n}",
            revision=1,
            status=(ReviewStatus.ACCEPTED if n % 10 else ReviewStatus.REJECTED) if is_judged else ReviewStatus.WAITING,
            question=question,
            answer=answer,
            stars=rng.choice((4, 5)) if is_good else rng.choice((1, 2, 3)),
            correction=correction,
            subject=subject,
            grade=rng.randint(1, 11),
            release=release.digest,
            teacher=f"{rng.randrange(40_000):064x}",
            rated_at=now - age,
            received_at=now - age,
            turn_key=turn_key_of(question=question, answer=answer),
        )


def _parcels() -> None:
    """Give each rating the parcel that brought it."""
    OutboxCursor.objects.bulk_create(
        [OutboxCursor(node=node, epoch="epoch-1", acknowledged_seq=1) for node in Node.objects.all()]
    )
    with connection.cursor() as cursor:
        cursor.execute(PARCELS_OF_RATINGS)

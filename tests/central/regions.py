"""A centre of two regions with a row of every kind in each, and people of every role who look at it."""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.utils import timezone

from central.courier.models import RefusedRequest, Trip
from central.feedback.models import CloneAlarm, OutboxCursor, Rating, ReceivedParcel
from central.rollouts.models import Assignment, Directive
from central.rollouts.planning import rollout_create, school_filter_save
from central.rollouts.targeting import Target
from central.rollouts.wave_spec import WaveSpec
from central.schools.accounts import account_create
from central.schools.models import ClaimCode, Node, RetiredKey, School
from central.schools.roles import Role
from central.training.models import Lease, OptOut, PrivacyCharge, Update
from tests.central.seasons import collecting, season_small
from tests.central.test_rollout_targets import release_of_bytes
from tests.central.test_rollouts import release_make

OWN, OTHER = "Суғд", "Хатлон"
MARKS = {OWN: "офтоб", OTHER: "маҳтоб"}
"""A word that stands in every row of a region, and nowhere else."""


@dataclass(frozen=True)
class Region:
    """What there is in one region."""

    school: School
    node: Node
    rollout: object
    rows: list


def account(username, role, region=""):
    """Return the user of a new account."""
    account_create(username=username, role=role, region=region, actor="command line", now=timezone.now())
    return User.objects.get(username=username)


def people():
    """Return one user of every role, by role; the regional admin is the first region's."""
    return {role: account(f"{role.value}-1", role, OWN if role is Role.REGIONAL_ADMIN else "") for role in Role}


def country():
    """Return both regions by name, with one release, one season and one rollout that they share."""
    release, season = release_of_bytes(1, 1_000), season_small(base=release_make(2), wanted=1)
    regions = {region: _region(region, release, season) for region in MARKS}
    schools = [each.school for each in regions.values()]
    shared = rollout_create(
        release=release, waves=[WaveSpec(name="ҳама", schools=schools)], creator="test", now=timezone.now()
    )
    for each in regions.values():
        _part(shared, each.node, status="cancelled")
    RefusedRequest.objects.create(
        key_id="e" * 64, public_key="-", code="key_taken", hostname=f"pc-{MARKS[OTHER]}", received_at=timezone.now()
    )
    school_filter_save(name="пилот", target=Target(), actor="test", now=timezone.now())
    return regions, shared


def _region(region, release, season):
    now, mark, n = timezone.now(), MARKS[region], list(MARKS).index(region)
    school = School.objects.create(name=f"Мактаби {mark}", region=region, district=f"ноҳияи {mark}", created_at=now)
    node = Node.objects.create(
        school=school, status="active", public_key=f"key {mark}", hostname=f"pc-{mark}", created_at=now, epoch="1"
    )
    cursor = OutboxCursor.objects.create(node=node, epoch=f"e-{mark}")
    rollout = rollout_create(release=release, waves=[WaveSpec(name=mark, schools=[school])], creator="test", now=now)
    plan, round_ = season.plans.first(), collecting(season)
    rows = [
        school,
        node,
        cursor,
        rollout,
        rollout.waves.get(),
        _part(rollout, node, status="pending"),
        ClaimCode.objects.create(node=node, digest=str(n) * 64, created_by="t", created_at=now, expires_at=now),
        RetiredKey.objects.create(node=node, public_key=f"old {mark}", key_id=mark, retired_at=now),
        ReceivedParcel.objects.create(
            node=node, epoch="1", seq=1, event_id=mark, record_id=mark, revision=1, kind="rating",
            body={"question": mark}, status="accepted", received_at=now,
        ),
        CloneAlarm.objects.create(node=node, epoch=mark, seq=1, at=now),
        Rating.objects.create(
            node=node,
            record_id=mark,
            revision=1,
            question=f"савол {mark}",
            answer=mark,
            stars=1,
            teacher=f"t-{mark}",
            received_at=now,
        ),
        Directive.objects.create(node=node, envelope=b"", issued_at=now),
        Update.objects.create(
            plan=plan, round=round_, node=node, counter=1, status="quarantined", code=f"c-{mark}", digest=mark,
            size_bytes=1, received_at=now,
        ),
        Lease.objects.create(node=node, round=round_, expires_at=now),
        PrivacyCharge.objects.create(
            school=school, round=round_, noise_multiplier=1, clip_norm=1, sigma=1, rounds=1, epsilon=1, delta=1e-5,
            charged_at=now,
        ),
        OptOut.objects.create(school=school, actor="t", reason=mark, at=now),
        Trip.objects.create(kind="to_schools", place=f"/media/{mark}", actor="t", at=now, region=region),
    ]  # fmt: skip
    return Region(school=school, node=node, rollout=rollout, rows=rows)


def _part(rollout, node, *, status):
    wave = rollout.waves.get()
    return Assignment.objects.create(rollout=rollout, wave=wave, node=node, status=status, created_at=timezone.now())

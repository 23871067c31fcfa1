"""The centre's side of `bench-centre`, in the centre's environment: makes the fleet, serves it, counts what came of it.

All that a check-in has to look at is there: schools with a history of contacts, a base that they run, an open season on
it, and a rollout of an adapter that is open to every school.
"""

# ruff: noqa: PLC0415 - the centre is imported once its settings are known
from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from federation.trust.keys import public_pem
from tests.benchmarks.checkins.documents import EPOCH, HARDWARE, story

FEW = 10
SPARE = 40
WAVE_PERCENT = 25
WEEKLY = sum(1 << 7 * week for week in range(8))


def main() -> None:
    """Do what the command line asks for, and print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("make", "serve", "open", "count"))
    parser.add_argument("--schools", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--keys", type=Path)
    arguments = parser.parse_args()
    import django

    django.setup()
    logging.getLogger("tuf").setLevel(logging.ERROR)
    if arguments.command == "serve":
        _serve(arguments.port)
        return
    do = {"make": lambda: _make(arguments.schools, arguments.keys), "open": _open, "count": _count}
    sys.stdout.write(json.dumps(do[arguments.command]()))


def _make(schools: int, keys: Path) -> dict[str, Any]:
    """Make all but the rollout, leave the schools' ids and keys in the file `keys`; return what a load has to know."""
    from django.core.management import call_command

    from central.rollouts.wave_spec import WaveSpec
    from central.schools.models import School
    from central.trust_root import keys_make
    from tests.central.seasons import season_small
    from tests.central.test_rollouts import release_make

    call_command("migrate", interactive=False, verbosity=0)
    call_command("createcachetable", verbosity=0)
    keys_make(now=_now())
    base = release_make(1)
    season_small(base=base, wanted=schools)
    first = _schools_enrol(FEW, base.digest)
    earlier = release_make(2, kind="adapter", base=base)
    _roll_out(earlier, WaveSpec(name="аввал", schools=tuple(School.objects.all())))
    few = _queries(first[0][0], base.digest, earlier.digest)
    adapter = release_make(3, kind="adapter", base=base)
    signed = _schools_enrol(schools + SPARE, base.digest)
    keys.write_text(json.dumps(signed[SPARE:]), encoding="utf-8")
    return {"base": base.digest, "adapter": adapter.digest, "queries_few": few}


def _open() -> dict[str, Any]:
    """Open a rollout to a quarter of the schools, and return how many queries a check-in takes with all of them."""
    from central.releases.models import Release
    from central.rollouts.models import Assignment
    from central.rollouts.wave_spec import WaveSpec

    base, adapter = Release.objects.get(version=1), Release.objects.get(version=3)
    rollout = _roll_out(adapter, WaveSpec(name="аввал", percent=WAVE_PERCENT))
    # In a load nobody may ask for a school, so it is one of the spare ones.
    spare = Assignment.objects.filter(rollout=rollout, node__last_contact_at__lt=_now() - timedelta(hours=12))
    node_id = str(spare.exclude(node__directive__isnull=False).values_list("node", flat=True)[0])
    return {"queries_many": _queries(node_id, base.digest, adapter.digest)}


def _schools_enrol(count: int, running: str) -> list[tuple[str, str]]:
    """Return id and private key (PEM) of the PCs of so many new schools, which have been here for two months."""
    from central.schools.models import Node, NodeStatus, School

    now, first = _now(), School.objects.count()
    numbers = range(first, first + count)
    schools = [School(name=f"Мактаби №{number}", region="Хатлон", created_at=now) for number in numbers]
    private = [ec.generate_private_key(ec.SECP384R1()) for _ in schools]
    nodes = [
        Node(
            school=school, status=NodeStatus.ACTIVE, public_key=public_pem(key), hardware=asdict(HARDWARE),
            created_at=now - timedelta(days=60), claimed_at=now - timedelta(days=60), running=running,
            last_contact_at=now - timedelta(days=1), contact_days=WEEKLY, epoch=EPOCH,
        )
        for school, key in zip(School.objects.bulk_create(schools), private, strict=True)
    ]  # fmt: skip
    Node.objects.bulk_create(nodes, batch_size=500)
    return [(str(node.pk), _pem(key)) for node, key in zip(nodes, private, strict=True)]


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, pkcs8, plain).decode()


def _roll_out(release: Any, wave: Any) -> Any:
    from central.rollouts.services import rollout_approve, rollout_create, rollout_submit
    from central.rollouts.tick import rollouts_advance
    from central.rollouts.verdict import WaveRules

    month = timedelta(days=30)
    rules = WaveRules(min_committed=1, pass_share=1.0, failures_allowed=0, soak=month, deadline=month)
    rollout = rollout_create(release=release, waves=[wave], creator="a", rules=rules, now=_now())
    rollout_submit(rollout=rollout, actor="a", now=_now())
    rollout_approve(rollout=rollout, approver="b", now=_now())
    rollouts_advance(now=_now())
    return rollout


def _queries(node_id: str, base: str, adapter: str) -> list[int]:
    """Return how many queries a school's check-ins take: it hears of the release, says that it runs it, has no news."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from central.checkins.answer import checkin_take
    from central.rollouts.shared import rollouts_shared
    from central.schools.models import Node
    from central.training.shared import seasons_shared
    from central.trust_root import director_key

    # What all schools share is read by the first of thousands.
    rollouts_shared.now()
    seasons_shared.now()
    counts = []
    for said in story(node_id=node_id, base=base, adapter=adapter, now=_now()).values():
        node = Node.objects.select_related("school").get(pk=node_id)
        with CaptureQueriesContext(connection) as queries:
            checkin_take(node=node, checkin=said, key=director_key(), next_checkin_seconds=300, now=_now())
        counts.append(len(queries))
    return counts


def _count() -> dict[str, Any]:
    """Return what the tables hold of each school, and how many rows the audit trail has of how many assignments."""
    from central.rollouts.models import Assignment, Rollout
    from central.schools.models import Node
    from central.schools.models_audit import AuditEvent

    newest = Rollout.objects.latest("pk")
    mine = Assignment.objects.filter(rollout=newest)
    statuses = {str(node): status for node, status in mine.values_list("node", "status")}
    entities = {f"rollouts.assignment {pk}": str(node) for pk, node in mine.values_list("pk", "node")}
    audited = AuditEvent.objects.filter(entity__startswith="rollouts.assignment ").values_list("entity", flat=True)
    moves = Counter(entities[entity] for entity in audited if entity in entities)
    numbers = {str(pk): number for pk, number in Node.objects.values_list("pk", "checkin_number")}
    return {"statuses": statuses, "moves": moves, "numbers": numbers}


def _serve(port: int) -> None:
    """Keep the web server, the worker and its beat running as `central run` does, without Flower, until SIGTERM."""
    from central.disk import centre_disk
    from central.supervisor import CentrePlan, web_specs
    from federation.processes import children_keep

    disk = centre_disk()
    plan = CentrePlan(root=disk.root, host="127.0.0.1", port=port, fleet_port=0)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    specs = web_specs(plan, disk, has_flower=False)
    children_keep(specs, run_path=disk.run_state, describe=lambda ids: json.dumps(ids).encode(), stopping=stopping)


def _now() -> Any:
    from django.utils import timezone

    return timezone.now()


if __name__ == "__main__":
    main()

"""A centre of before seasons keeps its rounds, updates and releases; each round becomes a season of its own."""

import base64
import json

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

BEFORE = [("training", "0003_update_variant"), ("releases", "0006_recipe_exporter"), ("schools", "0005_checkin_number")]
AFTER = [("training", "0006_seasons_only")]
CARD = {"slots": [{"name": "layers.0.o", "d_in": 3, "d_out": 4}, {"name": "layers.0.down", "d_in": 5, "d_out": 6}]}

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def old():
    """The tables as they were, and after the test as they are."""
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    apps = MigrationExecutor(connection).loader.project_state(BEFORE).apps
    yield apps
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def migrated():
    """Return the models after the migrations."""
    executor = MigrationExecutor(connection)
    executor.migrate(AFTER)
    return MigrationExecutor(connection).loader.project_state(AFTER).apps


def release_old(apps, version, **fields):
    now = timezone.now()
    made = {"kind": "base", "status": "ready", "digest": f"{version:064x}", "index_bytes": b"{}", "card": CARD}
    return apps.get_model("releases", "Release").objects.create(
        version=version, title="x", created_by="t", created_at=now, **(made | fields)
    )


def plan_old(*, has_season, rank=8):
    terms = {"rank": rank, "learning_rate": 0.1, "max_steps": 3, "stop_loss": 0.0, "min_labels": 1, "max_labels": 64}
    terms |= {"max_norm": 2.0, "slots": ["layers.0.o"], **({"season_id": "x"} if has_season else {})}
    return json.dumps({"payload": base64.b64encode(json.dumps(terms).encode()).decode()}).encode()


def round_old(apps, base, plan_id, *, status, has_season=True, **fields):
    now = timezone.now()
    ended = None if status in ("collecting", "aggregating") else now
    return apps.get_model("training", "Round").objects.create(
        plan_id=plan_id,
        base=base,
        status=status,
        plan_envelope=plan_old(has_season=has_season),
        slot_columns={"layers.0.o": 4},
        server_scale=0.7,
        wanted=5,
        minimum=2,
        opened_by="t",
        opened_at=now,
        closes_at=now,
        ended_at=ended,
        **fields,
    )


def update_old(apps, round_, digest, **fields):
    schools = apps.get_model("schools", "School").objects
    school, _ = schools.get_or_create(name=digest, defaults={"created_at": timezone.now()})
    node = apps.get_model("schools", "Node").objects.create(
        school=school, status="suspended", created_at=timezone.now()
    )
    made = {"status": "accepted", "counter": 1, "size_bytes": 9, "received_at": timezone.now()}
    return apps.get_model("training", "Update").objects.create(
        round=round_, node=node, digest=digest, **(made | fields)
    )


def test_a_round_that_collects_stays_open_with_its_updates_and_its_flower_run(old):
    base = release_old(old, 1)
    round_ = round_old(old, base, "p1", status="collecting", flwr_run_id="17")
    update_old(old, round_, "a")
    update_old(old, round_, "b", status="refused", code="bad_signature")
    new = migrated()
    season = new.get_model("training", "Season").objects.get()
    assert (season.season_id, season.status, season.base_id, season.wanted) == ("p1", "open", base.pk, 5)
    assert season.slot_sizes == [["layers.0.o", 3, 4], ["layers.0.down", 5, 6]]
    assert {name: season.settings[name] for name in ("rank", "server_scale", "minimum", "parts")} == {
        "rank": 8,
        "server_scale": 0.7,
        "minimum": 2,
        "parts": ["o"],
    }
    kept = season.rounds.get()
    assert (kept.round_id, kept.number, kept.status, kept.version) == ("p1", 1, "collecting", None)
    assert kept.runs.get().flwr_run_id == "17"
    plan = season.plans.get()
    assert (plan.plan_id, plan.start, plan.version, bytes(plan.envelope)) == ("p1", None, 0, plan_old(has_season=True))
    updates = new.get_model("training", "Update").objects.order_by("digest")
    assert [(each.digest, each.status, each.plan_id, each.round_id) for each in updates] == [
        ("a", "accepted", plan.pk, kept.pk),
        ("b", "refused", plan.pk, kept.pk),
    ]


def test_what_is_over_stays_over_and_a_signed_adapter_is_its_seasons_first(old):
    base = release_old(old, 1)
    for number, status in enumerate(["ready", "refused", "awaiting_signature"], start=2):
        adapter = release_old(old, number, kind="adapter", base=base, status=status)
        round_old(old, base, f"p{number}", status="completed", release=adapter)
    round_old(old, base, "p5", status="abandoned", why_ended="test")
    new = migrated()
    rounds = new.get_model("training", "Round").objects.order_by("pk")
    found = [(each.round_id, each.status, each.version, each.season.status) for each in rounds]
    assert found == [
        ("p2", "completed", 1, "closed"),
        ("p3", "completed", None, "closed"),
        ("p4", "completed", None, "closed"),
        ("p5", "abandoned", None, "closed"),
    ]


def test_a_round_whose_plan_no_node_can_read_any_more_is_abandoned_and_says_why(old):
    base = release_old(old, 1)
    round_ = round_old(old, base, "p1", status="collecting", has_season=False)
    update_old(old, round_, "a")
    new = migrated()
    kept = new.get_model("training", "Round").objects.get()
    assert (kept.status, kept.why_ended, kept.season.status) == ("abandoned", "plan_outdated", "closed")
    assert kept.updates.get().status == "accepted"
    audit = new.get_model("schools", "AuditEvent").objects.get(entity=f"training.round {kept.pk}")
    assert (audit.old, audit.new, audit.reason) == ("collecting", "abandoned", "plan_outdated")

"""The audit's hash chain: what it finds, who may write it, and what the database itself refuses."""

import json
from datetime import timedelta
from itertools import pairwise

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from hypothesis import given
from hypothesis import strategies as st

from central.schools import audit_chain
from central.schools.audit import audit_record, audit_record_all
from central.schools.audit_chain import Head, audit_link_all, audit_link_new, audit_verify, head_read
from central.schools.chain import GENESIS, AuditedChange, link_hash
from central.schools.models import AuditEvent, AuditLink
from central.schools.tasks import audit_late_sweep, audit_sweep
from tests.append_only import triggers_drop
from tests.central.conftest import NOW
from tests.central.test_rollout_workers import _at_once

CHANGE = AuditedChange(event=1, actor="a", entity="schools.node 1", old="x", new="y", reason="z", at=NOW)


def write(count, *, actor="Гулнора"):
    audit_record_all(
        actor=actor, entities=[f"schools.node {n}" for n in range(count)], new="active", reason="", now=NOW
    )


@pytest.fixture
def chained(db):
    """Seven linked rows whose guard an intruder has taken away."""
    write(7)
    assert audit_link_all() == 7
    triggers_drop(connection)


def do(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


def found():
    verdict = audit_verify()
    return verdict.broken, verdict.broken_number


def test_a_row_waits_for_its_link_until_the_sweep(db):
    write(2)
    verdict = audit_verify()
    assert (verdict.broken, verdict.head.number, verdict.waiting, verdict.waiting_since) == (None, 0, 2, NOW)
    audit_sweep()
    audit_record(actor="a", entity="e", old="", new="n", reason="", now=NOW)
    audit_sweep()
    assert list(AuditLink.objects.order_by("number").values_list("number", flat=True)) == [1, 2, 3]
    verdict = audit_verify()
    assert (verdict.broken, verdict.head, verdict.waiting) == (None, head_read(), 0)


def test_the_first_link_stands_on_nothing_and_each_on_the_one_before(chained):
    links = list(AuditLink.objects.select_related("event").order_by("number"))
    assert links[0].previous_hash == GENESIS
    assert all(one.previous_hash == before.own_hash for before, one in pairwise(links))


def test_a_row_committed_late_is_linked_after_those_before_it(db, monkeypatch):
    monkeypatch.setattr(audit_chain, "LOOK_BACK", 1)
    write(1)
    first = AuditEvent.objects.get().pk
    AuditEvent.objects.create(pk=first + 10, actor="a", entity="e", new="n", at=NOW)
    audit_link_all()
    AuditEvent.objects.create(pk=first + 3, actor="late", entity="e", new="n", at=NOW)
    assert audit_link_new() == 0
    audit_late_sweep()
    assert AuditLink.objects.get(number=3).event.actor == "late"
    assert found() == (None, 0)


@pytest.mark.parametrize("column", ["actor", "entity", "old", "new", "reason", "at"])
def test_a_changed_row_is_named(chained, column):
    value = f"'{(NOW - timedelta(days=1)).isoformat(sep=' ')}'" if column == "at" else "'changed'"
    event = AuditLink.objects.get(number=4).event_id
    do(f"UPDATE schools_auditevent SET {column} = {value} WHERE id = {event}")  # noqa: S608
    verdict = audit_verify()
    assert (verdict.broken, verdict.broken_number, verdict.broken_event) == ("row_changed", 4, event)
    assert verdict.head == Head(number=3, own_hash=AuditLink.objects.get(number=3).own_hash)


@pytest.mark.parametrize(
    ("sql", "breach"),
    [
        ("DELETE FROM schools_auditlink WHERE number = 4", ("link_missing", 4)),
        ("DELETE FROM schools_auditlink WHERE number = 1", ("link_missing", 1)),
        ("UPDATE schools_auditlink SET own_hash = 'x' WHERE number = 4", ("row_changed", 4)),
        ("UPDATE schools_auditlink SET previous_hash = 'x' WHERE number = 4", ("link_changed", 4)),
        ("UPDATE schools_auditlink SET number = 99 WHERE number = 4", ("link_missing", 4)),
    ],
)
def test_a_tampered_link_is_named(chained, sql, breach):
    do(sql)
    assert found() == breach


def test_a_row_that_is_gone_from_under_its_link_is_named(chained):
    event = AuditLink.objects.get(number=5).event_id
    with transaction.atomic():
        # The database's own reference forbids it, so an intruder points the link at nothing.
        do("SET CONSTRAINTS ALL DEFERRED" if connection.vendor == "postgresql" else "PRAGMA defer_foreign_keys = ON")
        do(f"DELETE FROM schools_auditevent WHERE id = {event}")  # noqa: S608
        assert found() == ("row_missing", 5)
        transaction.set_rollback(True)


def test_a_forged_chain_is_found_by_a_head_that_was_kept(chained):
    kept = head_read()
    do("DELETE FROM schools_auditlink WHERE number > 5")
    assert audit_verify(kept=kept).broken == "link_missing"
    do("UPDATE schools_auditevent SET reason = 'forged' WHERE id = (SELECT MAX(id) FROM schools_auditevent)")
    audit_link_all()
    assert audit_verify().broken is None
    verdict = audit_verify(kept=kept)
    assert (verdict.broken, verdict.broken_number) == ("head_unknown", 7)


@pytest.mark.parametrize("table", ["schools_auditevent", "schools_auditlink", "training_privacycharge"])
def test_the_database_itself_only_adds(keys, db, table):
    from tests.central.regions import country  # noqa: PLC0415

    country()
    audit_link_all()
    statements = [
        f"UPDATE {table} SET {'number = number' if table.endswith('link') else 'id = id'}",  # noqa: S608
        f"DELETE FROM {table}",  # noqa: S608
    ]
    if connection.vendor == "postgresql":
        do("SET CONSTRAINTS ALL IMMEDIATE")
        statements.append(f"TRUNCATE {table} CASCADE")
    for statement in statements:
        with pytest.raises(DatabaseError, match="only added"), transaction.atomic():
            do(statement)
    assert audit_verify().broken is None
    assert audit_verify().head.number == AuditEvent.objects.count() > 0


def test_the_command_names_the_break_and_fails(chained, capsys):
    call_command("audit", "verify")
    assert "All 7 links hold" in capsys.readouterr().out
    call_command("audit", "head")
    head = capsys.readouterr().out.strip()
    call_command("audit", "verify", "--head", head, "--json")
    assert json.loads(capsys.readouterr().out)["head"]["number"] == 7
    event = AuditLink.objects.get(number=2).event_id
    do(f"UPDATE schools_auditevent SET actor = 'nobody' WHERE id = {event}")  # noqa: S608
    with pytest.raises(CommandError):
        call_command("audit", "verify")
    assert f"BROKEN at link 2, audit row {event}: row_changed" in capsys.readouterr().out
    with pytest.raises(CommandError, match="NUMBER:HASH"):
        call_command("audit", "verify", "--head", "7")


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="threads share no database in memory; PostgreSQL runs this")
def test_many_writers_and_many_sweeps_make_one_chain():
    def writer(name):
        for n in range(20):
            with transaction.atomic():
                write(3, actor=f"{name} {n}")
            if n % 5 == name % 5:
                audit_link_new()

    assert _at_once(*[lambda name=name: writer(name) for name in range(6)]) == []
    audit_link_all()
    assert found() == (None, 0)
    assert AuditLink.objects.count() == 360 == head_read().number


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_rows_of_before_the_chain_are_linked_by_the_migration():
    executor = MigrationExecutor(connection)
    executor.migrate([("schools", "0007_accounts")])
    events = executor.loader.project_state([("schools", "0007_accounts")]).apps.get_model("schools", "AuditEvent")
    events.objects.bulk_create([events(actor="old", entity=f"e {n}", new="n", at=NOW) for n in range(5)])
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    verdict = audit_verify()
    assert (verdict.head.number, verdict.broken, verdict.waiting) == (5, None, 0)


@given(
    fields=st.fixed_dictionaries(
        {name: st.text(st.characters(exclude_categories=["Cs"])) for name in ("old", "new", "reason")}
    )
)
def test_no_two_changes_share_a_hash(fields):
    other = AuditedChange(event=1, actor="a", entity="schools.node 1", at=NOW, **fields)
    same = link_hash(number=1, previous=GENESIS, change=other) == link_hash(number=1, previous=GENESIS, change=CHANGE)
    assert same == (other == CHANGE)

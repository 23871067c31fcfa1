"""Several workers at once: ticks, check-ins and admins' actions in threads of their own, on the database in force."""

import threading
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import OperationalError, close_old_connections, connection
from django.utils import timezone

from central.checkins.answer import checkin_record
from central.rollouts.director import assignment_for
from central.rollouts.models import Assignment, Rollout, RolloutStatus
from central.rollouts.services import (
    rollout_abort,
    rollout_approve,
    rollout_create,
    rollout_roll_back,
    rollout_submit,
)
from central.rollouts.tick import rollout_tick
from central.rollouts.verdict import WaveRules
from central.rollouts.wave_spec import wave_spec_read
from central.schools.errors import StatusConflict, StatusMoveIllegal
from central.schools.models import AuditEvent, Node
from tests.central.school import check_in_of
from tests.central.test_rollout_machine import Pc
from tests.central.test_rollout_targets import nodes_make
from tests.central.test_rollouts import release_make

pytestmark = pytest.mark.django_db(transaction=True)
RULES = WaveRules(min_committed=99, pass_share=1.0, failures_allowed=99, soak=timedelta(0), deadline=timedelta(days=9))
KEY = Ed25519PrivateKey.generate()


def _scheduled(version=1, waves=("аввал=50%", "ҳама=100%")):
    now = timezone.now()
    specs = [wave_spec_read(text) for text in waves]
    rollout = rollout_create(release=release_make(version), waves=specs, creator="a", rules=RULES, now=now)
    rollout_submit(rollout=rollout, actor="a", now=now)
    rollout_approve(rollout=rollout, approver="b", now=now)
    return rollout


def _at_once(*calls):
    """Run all `calls` in threads that begin together; return what each raised."""
    barrier, raised = threading.Barrier(len(calls)), []

    def run(call):
        try:
            barrier.wait(timeout=30)
            call()
        except Exception as error:  # noqa: BLE001 - a test compares what was raised
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    close_old_connections()
    return raised


@pytest.fixture(autouse=True)
def _own_database():
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("threads share no database in memory; PostgreSQL runs this")


def test_two_workers_that_tick_at_once_open_a_wave_once():
    nodes_make(40)
    rollout = _scheduled()
    now = timezone.now()
    assert _at_once(*[lambda: rollout_tick(rollout_id=rollout.pk, now=now)] * 2) == []
    rollout.refresh_from_db()
    assert (rollout.status, [wave.status for wave in rollout.waves.all()]) == (
        RolloutStatus.RUNNING,
        ["open", "pending"],
    )
    nodes = list(Assignment.objects.values_list("node", flat=True))
    assert len(nodes) == len(set(nodes)) > 0
    assert AuditEvent.objects.filter(new="running").count() == 1


def test_a_wave_opens_for_schools_that_are_in_contact_at_the_same_moment():
    nodes = nodes_make(12)
    first = _scheduled(1, ("ҳама=100%",))
    rollout_tick(rollout_id=first.pk, now=timezone.now())
    second = _scheduled(2, ("ҳама=100%",))

    def contact(node_id):
        def call():
            for _ in range(5):
                node = Node.objects.get(pk=node_id)
                heard = checkin_record(node=node, checkin=check_in_of(Pc(str(node_id))), now=timezone.now())
                assignment_for(node=node, look=heard.look, key=KEY, now=timezone.now())

        return call

    tick = [lambda: rollout_tick(rollout_id=second.pk, now=timezone.now())] * 2
    raised = _at_once(*tick, *(contact(node.pk) for node in nodes))
    assert [error for error in raised if not isinstance(error, OperationalError)] == []
    assert raised == []
    assert second.assignments.count() == 12
    assert set(first.assignments.values_list("status", flat=True)) == {"superseded"}


def test_of_two_admins_who_end_a_rollout_at_once_one_is_told_that_it_came_second():
    nodes_make(20)
    rollout = _scheduled(1, ("ҳама=100%",))
    rollout_tick(rollout_id=rollout.pk, now=timezone.now())
    seen = [Rollout.objects.get(pk=rollout.pk) for _ in range(2)]
    raised = _at_once(
        lambda: rollout_abort(rollout=seen[0], actor="a", reason="", now=timezone.now()),
        lambda: rollout_roll_back(rollout=seen[1], actor="b", reason="", now=timezone.now()),
    )
    assert [type(error) for error in raised] in ([StatusConflict], [StatusMoveIllegal])
    rollout.refresh_from_db()
    assert rollout.status in (RolloutStatus.ABORTED, RolloutStatus.ROLLING_BACK)
    assert set(Assignment.objects.values_list("status", flat=True)) == {"cancelled"}
    assert AuditEvent.objects.filter(new="cancelled").count() == 20

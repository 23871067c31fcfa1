"""Rollouts under every order of contacts, late and repeated reports, ticks, kills and admins' actions.

The services are the centre's own, and a school is what it is: it follows the newest word that it has heard, one step at
a time, and its reports wait, get lost and come again. What must hold at every step: each status came by a legal move
that the audit has, nobody has a release before its wave opened, no word goes back in number or names what was revoked,
a rollout that runs has not failed too often, and what counts as committed has run. In the end, when all is delivered,
the centre knows what each school runs, and each runs something that has passed its own test there.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management.color import no_style
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from central.checkins.answer import checkin_record
from central.feedback.models import OutboxCursor
from central.releases.models import Release
from central.rollouts.budget import failures_allowed, failures_counted
from central.rollouts.director import assignment_for
from central.rollouts.models import Assignment, Directive, PauseReason, Rollout, RolloutStatus, Wave
from central.rollouts.services import (
    budget_raise,
    rollout_abort,
    rollout_approve,
    rollout_create,
    rollout_pause,
    rollout_resume,
    rollout_roll_back,
    rollout_submit,
    wave_extend,
    wave_override,
)
from central.rollouts.terms import RolloutTerms
from central.rollouts.tick import rollout_tick, rollouts_advance
from central.rollouts.verdict import WaveRules
from central.rollouts.wave_spec import wave_spec_read
from central.schools.models import AuditEvent, Node
from federation.errors import FederationError
from federation.trust.envelopes import ASSIGNMENT, envelope_payload_unverified
from federation.wire.canonical import parse
from federation.wire.releases import Assignment as AssignmentDocument
from federation.wire.releases import InstallReport, InstallState
from tests.central.school import HARDWARE, check_in_of
from tests.central.test_rollout_targets import nodes_make
from tests.central.test_rollouts import release_make

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
SCHOOLS = 6
WHICH = st.integers(0, SCHOOLS - 1)
ANY = st.integers(0, 7)
VERSIONS = count(1000)
PLANS = (("аввал=+1", "дуюм=50%", "ҳама=100%"), ("ҳама=100%",), ("аввал=+2", "ҳама=+9"))
STEPS = (InstallState.STAGED, InstallState.TESTING, InstallState.TRIAL)


MOVES = {model._meta.label_lower: model.MOVES for model in (Rollout, Wave, Assignment)}
# A rollout comes from nothing as a draft.
MOVES[Rollout._meta.label_lower] = {"": {"draft"}} | Rollout.MOVES


class KilledError(Exception):
    """The worker was killed."""


@dataclass
class Pc:
    """One school's PC: what it runs, the word that it follows, and the reports that the centre may not have."""

    node_id: str
    running: str | None = None
    word: AssignmentDocument | None = None
    step: int = 0
    is_settled: bool = True
    reports: list[InstallReport] = field(default_factory=list)
    has_run: set[str] = field(default_factory=set)
    epoch: str = "epoch"
    capabilities: tuple[str, ...] = ("chat",)
    hardware: object = HARDWARE
    variants: dict[str, str] = field(default_factory=dict)
    updates_waiting: tuple[str, ...] = ()

    def hear(self, word):
        assert self.word is None or word.sequence >= self.word.sequence
        if self.word is None or word.sequence > self.word.sequence:
            self.word, self.step = word, 0
            self.is_settled = word.release in (None, self.running)
            if word.release is not None and word.release == self.running:
                self.report(InstallState.COMMITTED)

    def report(self, state, code=""):
        self.reports.append(
            InstallReport(
                release=self.word.release,
                sequence=self.word.sequence,
                state=state,
                error_code=code,
                bytes_fetched=1,
                at=NOW,
            )
        )

    def go_on(self, *, is_good):
        """Do the next step of the installation."""
        if self.is_settled:
            return
        if self.step < len(STEPS):
            self.report(STEPS[self.step])
            self.step += 1
            return
        self.is_settled = True
        if is_good:
            self.running = self.word.release
            self.has_run.add(self.running)
            self.report(InstallState.COMMITTED)
        else:
            self.report(InstallState.REVERTED, "self_test_failed")


class Rollouts(RuleBasedStateMachine):
    """One centre, its admins, and a handful of schools."""

    @initialize()
    def begin(self):
        Assignment.objects.all().delete()
        Directive.objects.all().delete()
        Rollout.objects.all().delete()
        OutboxCursor.objects.all().delete()
        Node.objects.all().delete()
        _rollouts_number_anew()
        self.now, self.key = NOW, Ed25519PrivateKey.generate()
        nodes_make(SCHOOLS)
        for number, node in enumerate(Node.objects.order_by("school")):
            Node.objects.filter(pk=node.pk).update(id=UUID(int=number))
        self.pcs = [Pc(str(UUID(int=number))) for number in range(SCHOOLS)]
        self.bad = {}
        newest = AuditEvent.objects.order_by("pk").last()
        self.first_audit = newest.pk if newest else 0

    # Time, contacts and schools.

    @rule(hours=st.integers(0, 30 * 24))
    def wait(self, hours):
        self.now += timedelta(hours=hours)

    @rule()
    def tick(self):
        rollouts_advance(now=self.now)
        before = self._rows()
        rollouts_advance(now=self.now)
        assert self._rows() == before

    @precondition(lambda self: Rollout.objects.exists())
    @rule(which=ANY, at=st.integers(0, 25))
    def tick_killed(self, which, at):
        rollout, before = self._rollout(which), self._rows()
        try:
            with connection.execute_wrapper(_killed_after(at)):
                rollout_tick(rollout_id=rollout.pk, now=self.now)
        except KilledError:
            assert self._rows() == before

    @rule(which=WHICH, kept=st.integers(0, 9), again=st.booleans(), is_answer_lost=st.booleans())
    def contact(self, which, kept, again, is_answer_lost):
        pc = self.pcs[which]
        reports = pc.reports[-5:] if again else pc.reports[: kept + 1]
        self._check_in(pc, reports, is_answer_lost=is_answer_lost)

    @rule(which=WHICH, steps=st.integers(1, 4))
    def install(self, which, steps):
        pc = self.pcs[which]
        for _ in range(steps):
            pc.go_on(is_good=self._is_good(pc))

    @rule(which=WHICH)
    def fall_back(self, which):
        pc = self.pcs[which]
        older = sorted(pc.has_run - {pc.running})
        if older:
            pc.running = older[0]

    # Admins.

    @precondition(lambda self: Rollout.objects.count() < 4)
    @rule(plan=st.sampled_from(PLANS), allowed=st.integers(0, 2), worst=st.sets(WHICH), budget=st.none() | ANY)
    def plan(self, plan, allowed, worst, budget):
        release = release_make(next(VERSIONS))
        self.bad[release.digest] = {self.pcs[each].node_id for each in worst}
        rules = WaveRules(
            min_committed=1,
            pass_share=0.5,
            failures_allowed=allowed,
            soak=timedelta(hours=1),
            deadline=timedelta(days=7),
        )
        waves, terms = [wave_spec_read(each) for each in plan], RolloutTerms(failure_budget=budget)
        rollout = rollout_create(release=release, waves=waves, creator="a", rules=rules, terms=terms, now=self.now)
        rollout_submit(rollout=rollout, actor="a", now=self.now)
        rollout_approve(rollout=rollout, approver="b", now=self.now)

    @precondition(lambda self: Rollout.objects.exists())
    @rule(
        which=ANY,
        act=st.sampled_from(
            (
                lambda rollout, now: rollout_pause(rollout=rollout, reason=PauseReason.MANUAL, actor="a", now=now),
                lambda rollout, now: rollout_resume(rollout=rollout, actor="a", now=now),
                lambda rollout, now: rollout_abort(rollout=rollout, actor="a", reason="", now=now),
                lambda rollout, now: rollout_roll_back(rollout=rollout, actor="a", reason="", now=now),
                lambda rollout, now: budget_raise(rollout=rollout, failure_budget=9, actor="a", reason="ok", now=now),
            )
        ),
    )
    def steer(self, which, act):
        rollout, before = self._rollout(which), self._rows()
        try:
            act(rollout, self.now)
        except FederationError:
            assert self._rows() == before

    @precondition(lambda self: Wave.objects.filter(status="inconclusive").exists())
    @rule(is_extended=st.booleans())
    def decide(self, is_extended):
        wave = Wave.objects.filter(status="inconclusive").first()
        if is_extended:
            wave_extend(wave=wave, actor="a", now=self.now)
        else:
            wave_override(wave=wave, actor="a", reason="ok", now=self.now)

    @precondition(lambda self: Rollout.objects.count() > 1)
    @rule(which=ANY)
    def revoke(self, which):
        Release.objects.filter(pk=self._rollout(which).release_id).update(status="revoked")

    # What holds.

    @invariant()
    def every_status_came_by_a_legal_move_that_the_audit_has(self):
        told = {}
        trail = AuditEvent.objects.filter(pk__gt=self.first_audit).exclude(new__startswith="budget").order_by("pk")
        for entity, old, new in trail.values_list("entity", "old", "new"):
            assert told.get(entity, old) == old
            told[entity] = new
            assert new in MOVES.get(entity.partition(" ")[0], {old: {new}})[old]
        for model in (Rollout, Wave, Assignment):
            for pk, status in model.objects.values_list("pk", "status"):
                assert told.get(f"{model._meta.label_lower} {pk}", status) == status

    @invariant()
    def nobody_has_a_release_before_its_wave_opened(self):
        assert not Assignment.objects.filter(wave__status="pending").exists()
        assert not Assignment.objects.filter(rollout__status__in=("draft", "pending_approval", "scheduled")).exists()

    @invariant()
    def a_rollout_that_runs_has_not_failed_too_often(self):
        for rollout in Rollout.objects.filter(status=RolloutStatus.RUNNING):
            assert failures_counted(rollout) <= failures_allowed(rollout)

    @invariant()
    def what_counts_as_committed_has_run_there(self):
        pcs = {pc.node_id: pc for pc in self.pcs}
        for node, digest in Assignment.objects.committed().values_list("node", "rollout__release__digest"):
            assert digest in pcs[str(node)].has_run

    def teardown(self):
        if not hasattr(self, "pcs"):
            return
        # Each round ends a wave or nothing more happens; four rollouts have at most twelve waves.
        for _ in range(16):
            rollouts_advance(now=self.now)
            for pc in self.pcs:
                self._check_in(pc, pc.reports[-5:], is_answer_lost=False)
                for _ in range(4):
                    pc.go_on(is_good=self._is_good(pc))
                self._check_in(pc, pc.reports[-5:], is_answer_lost=False)
            self.now += timedelta(hours=2)
        for pc in self.pcs:
            assert Node.objects.get(pk=pc.node_id).running == (pc.running or "")
            assert pc.is_settled
            assert pc.node_id not in self.bad.get(pc.running, ())
        assert not Rollout.objects.filter(status__in=("scheduled", "rolling_back")).exists()

    # How it is done.

    def _rollout(self, which):
        rollouts = list(Rollout.objects.order_by("pk"))
        return rollouts[which % len(rollouts)]

    def _is_good(self, pc):
        return pc.word is None or pc.node_id not in self.bad.get(pc.word.release, ())

    def _check_in(self, pc, reports, *, is_answer_lost):
        node = Node.objects.get(pk=pc.node_id)
        heard = checkin_record(node=node, checkin=check_in_of(pc, *reports), now=self.now)
        envelope = assignment_for(node=node, look=heard.look, key=self.key, now=self.now)
        if is_answer_lost:
            return
        word = parse(AssignmentDocument, envelope_payload_unverified(envelope, kind=ASSIGNMENT))
        assert not Release.objects.filter(digest=word.release, status="revoked").exists()
        pc.hear(word)

    @staticmethod
    def _rows():
        models = (Rollout, Wave, Assignment)
        return [list(model.objects.order_by("pk").values()) for model in models] + [AuditEvent.objects.count()]


def _rollouts_number_anew():
    """Let the next rollout's id be 1: who is in which wave depends on it, and hypothesis must be able to try again."""
    with connection.cursor() as cursor:
        for sql in connection.ops.sequence_reset_by_name_sql(
            no_style(), [{"table": "rollouts_rollout", "column": "id"}]
        ):
            cursor.execute(sql)


def _killed_after(at):
    left = [at]

    def wrapper(execute, sql, params, many, context):
        # A transaction's own end is the database's to do: a killed worker's connection is rolled back.
        if not sql.startswith(("SAVEPOINT", "ROLLBACK", "RELEASE")):
            left[0] -= 1
            if left[0] < 0:
                raise KilledError
        return execute(sql, params, many, context)

    return wrapper


@pytest.mark.slow
@pytest.mark.django_db
def test_in_any_order_of_contacts_ticks_kills_and_actions_a_rollout_keeps_its_promises():
    run_state_machine_as_test(
        Rollouts,
        settings=settings(
            max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

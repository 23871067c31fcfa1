"""Every legal and every refused move of rollouts, waves and assignments, and of the services that make them."""

from itertools import product

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from central.rollouts.models import (
    Assignment,
    AssignmentStatus,
    PauseReason,
    Rollout,
    RolloutStatus,
    Wave,
    WaveStatus,
)
from central.rollouts.services import (
    rollout_abort,
    rollout_approve,
    rollout_pause,
    rollout_reject,
    rollout_resume,
    rollout_roll_back,
    rollout_start,
    rollout_submit,
    wave_extend,
    wave_override,
)
from central.schools.models import AuditEvent
from central.schools.transitions import StatusConflict, StatusMoveIllegal, status_move, statuses_move
from tests.central.test_rollout_targets import nodes_make
from tests.central.test_rollouts import release_make

NOW = timezone.now()
# Written out here once more, word for word from the design, so that a slip in the table is seen.
ROLLOUT = {
    "draft": "pending_approval aborted",
    "pending_approval": "rejected scheduled aborted",
    "scheduled": "running aborted",
    "running": "paused rolling_back aborted completed",
    "paused": "running rolling_back aborted",
    "rolling_back": "rolled_back aborted",
    "completed": "rolling_back",
}
WAVE = {
    "pending": "open",
    "open": "soaking failed inconclusive",
    "soaking": "passed failed inconclusive",
    "inconclusive": "open passed",
}
_PATH = ["pending", "offered", "downloading", "staged", "testing", "trial", "committed"]
_ENDED = "failed_download failed_verify reverted skipped cancelled superseded"
ASSIGNMENT = {
    **{status: " ".join([*_PATH[at + 1 :], _ENDED]) for at, status in enumerate(_PATH[:-1])},
    "committed": "reverted superseded",
    "failed_download": f"downloading staged testing trial committed {_ENDED}",
}
CASES = [
    (model, old, new, new in table.get(old, "").split())
    for model, choices, table in (
        (Rollout, RolloutStatus, ROLLOUT),
        (Wave, WaveStatus, WAVE),
        (Assignment, AssignmentStatus, ASSIGNMENT),
    )
    for old, new in product(choices.values, choices.values)
]


@pytest.fixture
def rows(db):
    """A rollout, its wave and an assignment, whose status a test may set as it likes."""
    rollout = Rollout.objects.create(
        release=release_make(1), created_by="a", approved_by="b", created_at=NOW, started_at=NOW
    )
    wave = Wave.objects.create(rollout=rollout, number=1, name="w", percent=100, opened_at=NOW)
    (node,) = nodes_make(1)
    assignment = Assignment.objects.create(rollout=rollout, wave=wave, node=node, created_at=NOW, sequence=1)
    return {Rollout: rollout, Wave: wave, Assignment: assignment}


def _put(row, status):
    changes = {"pause_reason": PauseReason.MANUAL if status == "paused" else ""} if isinstance(row, Rollout) else {}
    type(row).objects.filter(pk=row.pk).update(status=status, **changes)
    row.refresh_from_db()


@pytest.mark.parametrize(
    ("model", "old", "new", "is_legal"),
    CASES,
    ids=[f"{model.__name__}-{old}-{new}-{'legal' if is_legal else 'refused'}" for model, old, new, is_legal in CASES],
)
def test_a_move_is_made_with_one_audit_row_or_refused_without_a_trace(rows, model, old, new, is_legal):
    row = rows[model]
    _put(row, old)
    changes = {"pause_reason": "manual" if new == "paused" else ""} if model is Rollout else {}
    if is_legal:
        status_move(row, to=new, actor="a", now=NOW, **changes)
    else:
        with pytest.raises(StatusMoveIllegal):
            status_move(row, to=new, actor="a", now=NOW, **changes)
    row.refresh_from_db()
    assert row.status == (new if is_legal else old)
    assert list(AuditEvent.objects.values_list("old", "new")) == ([(old, new)] if is_legal else [])


SERVICES = {
    "submit": (lambda row: rollout_submit(rollout=row, actor="a", now=NOW), "draft", "pending_approval"),
    "approve": (lambda row: rollout_approve(rollout=row, approver="b", now=NOW), "pending_approval", "scheduled"),
    "reject": (lambda row: rollout_reject(rollout=row, actor="b", reason="", now=NOW), "pending_approval", "rejected"),
    "start": (lambda row: rollout_start(rollout=row, actor="a", now=NOW), "scheduled", "running"),
    "pause": (
        lambda row: rollout_pause(rollout=row, reason=PauseReason.MANUAL, actor="a", now=NOW),
        "running",
        "paused",
    ),
    "resume": (lambda row: rollout_resume(rollout=row, actor="a", now=NOW), "paused", "running"),
    "abort": (
        lambda row: rollout_abort(rollout=row, actor="a", reason="", now=NOW),
        "draft pending_approval scheduled running paused rolling_back",
        "aborted",
    ),
    "roll_back": (
        lambda row: rollout_roll_back(rollout=row, actor="a", reason="", now=NOW),
        "running paused completed",
        "rolling_back",
    ),
}


@pytest.mark.parametrize(("service", "old"), list(product(SERVICES, RolloutStatus.values)))
def test_each_action_on_a_rollout_is_open_in_its_own_statuses_only(rows, service, old):
    act, legal, new = SERVICES[service]
    rollout = rows[Rollout]
    _put(rollout, old)
    if old in legal.split():
        act(rollout)
    else:
        with pytest.raises(StatusMoveIllegal):
            act(rollout)
    rollout.refresh_from_db()
    assert rollout.status == (new if old in legal.split() else old)
    is_ended = service in {"abort", "roll_back"} and old in legal.split()
    assert Assignment.objects.get().status == ("cancelled" if is_ended else "pending")


@pytest.mark.parametrize("old", WaveStatus.values)
def test_only_an_inconclusive_wave_is_extended_or_overridden(rows, old):
    for act, new in (
        (lambda wave: wave_extend(wave=wave, actor="a", now=NOW), "open"),
        (lambda wave: wave_override(wave=wave, actor="a", reason="ok", now=NOW), "passed"),
    ):
        wave = rows[Wave]
        _put(wave, old)
        if old == "inconclusive":
            act(wave)
        else:
            with pytest.raises(StatusMoveIllegal):
                act(wave)
        wave.refresh_from_db()
        assert wave.status == (new if old == "inconclusive" else old)


@pytest.mark.parametrize("service", SERVICES)
def test_an_action_that_came_second_is_told_so_and_changes_nothing(rows, service):
    act, legal, new = SERVICES[service]
    rollout = rows[Rollout]
    _put(rollout, legal.split()[-1])
    seen = Rollout.objects.get(pk=rollout.pk)
    act(rollout)
    trail = list(AuditEvent.objects.values_list("pk", flat=True))
    with pytest.raises(StatusConflict):
        act(seen)
    rollout.refresh_from_db()
    assert rollout.status == new
    assert list(AuditEvent.objects.values_list("pk", flat=True)) == trail


def test_many_rows_move_with_one_audit_row_each_or_none_moves(rows):
    rollout, wave = rows[Rollout], rows[Wave]
    Assignment.objects.bulk_create(
        [Assignment(rollout=rollout, wave=wave, node=node, created_at=NOW) for node in nodes_make(9)]
    )
    Assignment.objects.filter(pk=rows[Assignment].pk).update(status="testing")
    held = list(Assignment.objects.order_by("pk"))
    Assignment.objects.filter(pk=held[-1].pk).update(status="cancelled")
    with pytest.raises(StatusConflict):
        statuses_move(held, to="cancelled", actor="a", now=NOW)
    assert Assignment.objects.filter(status="cancelled").count() == 1
    assert not AuditEvent.objects.exists()
    statuses_move(list(Assignment.objects.on_the_way()), to="cancelled", actor="a", now=NOW, ended_at=NOW)
    assert Assignment.objects.filter(status="cancelled").count() == 10
    assert sorted(AuditEvent.objects.values_list("old", flat=True)) == ["pending"] * 8 + ["testing"]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "paused"},
        {"pause_reason": "manual"},
        {"approved_by": "a"},
        {"kind": "other"},
        {"window_opens_at": "06:00"},
        {"quality_margin": 1.5},
        {"status": "running", "started_at": None},
    ],
)
def test_the_database_itself_refuses_rollouts_that_cannot_be(rows, changes):
    with pytest.raises(IntegrityError), transaction.atomic():
        Rollout.objects.update(**changes)
    assert Rollout.objects.get().status == "draft"


@pytest.mark.parametrize(
    "changes",
    [
        {"percent": 101},
        {"count": 1},
        {"status": "open", "opened_at": None},
        {"pass_share": 1.1},
        {"silent_share": -0.1},
    ],
)
def test_the_database_itself_refuses_waves_that_cannot_be(rows, changes):
    with pytest.raises(IntegrityError), transaction.atomic():
        Wave.objects.update(**changes)
    assert Wave.objects.get().percent == 100

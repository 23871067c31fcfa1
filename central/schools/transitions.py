"""The one way a status changes: a legal move, as a compare-and-set, with one audit row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, TypeAlias

from django.db import models, transaction

from central.schools.audit import audit_record_all
from central.schools.errors import StatusConflict, StatusMoveIllegal
from central.schools.reach import entity_of, steering_expect

Moves: TypeAlias = Mapping[str, frozenset[str]]


class HasStatus(models.Model):
    """A model with one `status`, and in `MOVES` the statuses that each may become."""

    MOVES: ClassVar[Moves]
    status: Any  # each model declares its own field, with its own choices

    class Meta:
        abstract = True

    @property
    def is_final(self) -> bool:
        """Tell whether nothing can come after the present status."""
        return not self.MOVES.get(self.status)

    def may_become(self, status: str) -> bool:
        """Tell whether the move from the present status is legal."""
        return status in self.MOVES.get(self.status, frozenset())


def moves(table: Mapping[str, tuple[str, ...]]) -> Moves:
    """Return `table` with its targets as sets."""
    return {old: frozenset(new) for old, new in table.items()}


def status_move(
    row: HasStatus,
    *,
    to: str,
    actor: str,
    now: datetime,
    reason: str = "",
    only_from: str = "",
    **changes: Any,  # noqa: ANN401 - the fields of any model
) -> None:
    """Leave `row` in status `to` with `changes` set, here and in the database, and one audit row about it.

    An action that is not for every status from which `to` may be reached names the one that it is for as `only_from`.

    Raises:
        StatusMoveIllegal: the row's model has no such move, or the action is not for this status.
        StatusConflict: the row's status in the database is no longer the one in hand; nothing is changed.
        RoleReadsOnly, OutsideRegion: `actor` may not move it; nothing is changed.
    """
    if only_from and row.status != only_from:
        raise StatusMoveIllegal(entity=entity_of(row), old=str(row.status), new=str(to))
    statuses_move([row], to=to, actor=actor, now=now, reason=reason, **changes)


def statuses_move(
    rows: Sequence[HasStatus],
    *,
    to: str,
    actor: str,
    now: datetime,
    reason: str = "",
    **changes: Any,  # noqa: ANN401 - the fields of any model
) -> None:
    """Leave all `rows`, of one model, in status `to` with `changes` set, and one audit row about each.

    It takes two queries for each status that they come from, however many they are.

    Raises:
        StatusMoveIllegal, StatusConflict, RoleReadsOnly, OutsideRegion: as `status_move`, of any of them; nothing is
            changed.
    """
    steering_expect(actor=actor, rows=rows)
    with transaction.atomic():
        for old in sorted({str(row.status) for row in rows}):
            _group_move([row for row in rows if row.status == old], to, actor, now, reason, changes)


def _group_move(
    rows: list[HasStatus], to: str, actor: str, now: datetime, reason: str, changes: Mapping[str, Any]
) -> None:
    old, model = str(rows[0].status), type(rows[0])
    entities = [entity_of(row) for row in rows]
    if not rows[0].may_become(to):
        raise StatusMoveIllegal(entity=entities[0], old=old, new=str(to))
    in_database: models.Manager[Any] = model._base_manager  # noqa: SLF001 - Django documents it
    moved = in_database.filter(pk__in=[row.pk for row in rows], status=old).update(status=to, **changes)
    if moved != len(rows):
        raise StatusConflict(entity=entities[0], old=old, new=str(to))
    audit_record_all(actor=actor, entities=entities, old=old, new=str(to), reason=reason, now=now)
    for row in rows:
        row.status = to
        for name, value in changes.items():
            setattr(row, name, value)

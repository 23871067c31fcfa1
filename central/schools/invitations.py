"""Claim codes for PCs that are expected: one at a time, or a whole region's on printed sheets.

With `services` the only writer of schools, nodes and claim codes. Only a code's digest is kept, so the moment in which
a code is drawn is the only one in which it can be printed. The rules that follow from it, in order:
1. A printing draws every code anew and voids the unused one that the school had: of two sheets the newer one counts.
2. The sheets are drawn up before anything is written, so a printing that fails has voided nothing.
3. Whoever lost a printing prints again. Nothing that could be stolen is left at the centre.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from central.schools.audit import audit_record
from central.schools.claim_codes import LIFE_DAYS, claim_code_digest, claim_code_draw
from central.schools.errors import NoSchoolWaits
from central.schools.models import ClaimCode, Node, NodeStatus, School
from central.schools.services import node_key_withdraw


@dataclass(frozen=True, slots=True)
class Invitation:
    """A school with a PC that is expected there; `code` is shown this once."""

    school: School
    node: Node
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnCode:
    """A code that is about to be printed for a school, and until when it will be valid."""

    school: School
    code: str
    expires_at: datetime


Render = Callable[[Sequence[DrawnCode]], bytes]


def school_invite(*, name: str, region: str, actor: str, now: datetime) -> Invitation:
    """Record one more expected PC at the school called `name` (made if new) and return its claim code."""
    code = claim_code_draw()
    with transaction.atomic():
        school, _ = School.objects.get_or_create(name=name, defaults={"region": region, "created_at": now})
        node = Node.objects.create(school=school, created_at=now)
        _code_write(node, code, actor, now)
    return Invitation(school=school, node=node, code=code)


def sheets_print(*, schools: Iterable[School], render: Render, actor: str, now: datetime) -> bytes:
    """Return what `render` made of a new code for each school, all of which are valid from now on.

    A school whose PC has not come yet goes on waiting for that one; any other gets one more PC.

    Raises:
        NoSchoolWaits: `schools` is empty.
        FederationError: as `render`; no code is changed.
    """
    expires_at = now + timedelta(days=LIFE_DAYS)
    drawn = [DrawnCode(school=school, code=claim_code_draw(), expires_at=expires_at) for school in schools]
    if not drawn:
        raise NoSchoolWaits(region="")
    sheets = render(drawn)
    with transaction.atomic():
        for each in drawn:
            _code_write(_expected_node(each.school, now), each.code, actor, now)
    return sheets


def node_reinvite(*, node: Node, render: Render, actor: str, reason: str, now: datetime) -> bytes:
    """Return the sheet by which one PC takes the node's place; the key that the node had is withdrawn at once.

    Raises:
        StatusMoveIllegal, StatusConflict: the node is neither active nor suspended; nothing is changed.
        FederationError: as `render`; nothing is changed.
    """
    drawn = DrawnCode(school=node.school, code=claim_code_draw(), expires_at=now + timedelta(days=LIFE_DAYS))
    sheet = render([drawn])
    with transaction.atomic():
        node_key_withdraw(node=node, actor=actor, reason=reason, now=now)
        _code_write(node, drawn.code, actor, now)
    return sheet


def _expected_node(school: School, now: datetime) -> Node:
    waiting = Node.objects.filter(school=school, status=NodeStatus.INVITED).order_by("created_at").first()
    return waiting or Node.objects.create(school=school, created_at=now)


def _code_write(node: Node, code: str, actor: str, now: datetime) -> None:
    fresh = {
        "digest": claim_code_digest(code),
        "created_by": actor,
        "created_at": now,
        "expires_at": now + timedelta(days=LIFE_DAYS),
        "used_at": None,
    }
    _, is_new = ClaimCode.objects.update_or_create(node=node, defaults=fresh)
    if not is_new:
        entity = f"schools.node {node.pk}"
        audit_record(actor=actor, entity=entity, old="", new="code_renewed", reason="sheet printed again", now=now)

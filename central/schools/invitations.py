"""Claim codes for PCs that are expected: one at a time, or a whole region's on printed sheets.

With `services` the only writer of schools, nodes and claim codes. Only a code's digest is kept, so the moment in which
a code is drawn is the only one in which it can be printed. The rules that follow from it, in order:
1. A printing draws every code anew and voids the unused one that the school had: of two sheets the newer one counts.
2. The sheets are drawn up before anything is written, so a printing that fails has voided nothing.
3. Whoever lost a printing prints again. Nothing that could be stolen is left at the centre.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from central.schools.audit import audit_record_all
from central.schools.claim_codes import LIFE_DAYS, claim_code_digest, claim_code_draw
from central.schools.errors import NoSchoolWaits
from central.schools.models import ClaimCode, Node, NodeStatus, School
from central.schools.reach import entity_of, region_expect, steering_expect
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
    """Record one more expected PC at the school called `name` (made if new) and return its claim code.

    Raises:
        RoleReadsOnly, OutsideRegion: `actor` has no say there; nothing is changed.
    """
    code = claim_code_draw()
    region_expect(actor=actor, region=region, entity=f"schools.school {name}")
    with transaction.atomic():
        school, _ = School.objects.get_or_create(name=name, defaults={"region": region, "created_at": now})
        steering_expect(actor=actor, rows=[school])
        node = Node.objects.create(school=school, created_at=now)
        _codes_write({node: code}, actor, now)
    return Invitation(school=school, node=node, code=code)


def sheets_print(*, schools: Iterable[School], render: Render, actor: str, now: datetime) -> bytes:
    """Return what `render` made of a new code for each school, all of which are valid from now on.

    A school whose PC has not come yet goes on waiting for that one; any other gets one more PC.

    Raises:
        NoSchoolWaits: `schools` is empty.
        RoleReadsOnly, OutsideRegion: `actor` has no say at one of them; no code is changed.
        FederationError: as `render`; no code is changed.
    """
    expires_at = now + timedelta(days=LIFE_DAYS)
    drawn = [DrawnCode(school=school, code=claim_code_draw(), expires_at=expires_at) for school in schools]
    if not drawn:
        raise NoSchoolWaits(region="")
    steering_expect(actor=actor, rows=[each.school for each in drawn])
    sheets = render(drawn)
    with transaction.atomic():
        codes = dict(zip(_expected_nodes(drawn, now), (each.code for each in drawn), strict=True))
        _codes_write(codes, actor, now)
    return sheets


def node_reinvite(*, node: Node, render: Render, actor: str, reason: str, now: datetime) -> bytes:
    """Return the sheet by which one PC takes the node's place; the key that the node had is withdrawn at once.

    Raises:
        StatusMoveIllegal, StatusConflict: the node is neither active nor suspended; nothing is changed.
        RoleReadsOnly, OutsideRegion: `actor` may not move it; nothing is changed.
        FederationError: as `render`; nothing is changed.
    """
    drawn = DrawnCode(school=node.school, code=claim_code_draw(), expires_at=now + timedelta(days=LIFE_DAYS))
    sheet = render([drawn])
    with transaction.atomic():
        node_key_withdraw(node=node, actor=actor, reason=reason, now=now)
        _codes_write({node: drawn.code}, actor, now)
    return sheet


def _expected_nodes(drawn: Sequence[DrawnCode], now: datetime) -> list[Node]:
    """Return the node that each school waits for, in order, made where it waits for none."""
    # A statement a school would hold the one writer that SQLite has for a minute.
    schools = [each.school for each in drawn]
    invited = Node.objects.select_for_update().filter(status=NodeStatus.INVITED, school__in=schools)
    waiting = {node.school_id: node for node in invited.order_by("-created_at")}
    new = [Node(school=school, created_at=now) for school in schools if school.pk not in waiting]
    Node.objects.bulk_create(new, batch_size=500)
    waiting |= {node.school_id: node for node in new}
    return [waiting[school.pk] for school in schools]


def _codes_write(codes: Mapping[Node, str], actor: str, now: datetime) -> None:
    """Make each node's code the only one by which it can be claimed."""
    renewed = set(ClaimCode.objects.filter(node__in=codes).values_list("node_id", flat=True))
    fresh = [
        ClaimCode(
            node=node,
            digest=claim_code_digest(code),
            created_by=actor,
            created_at=now,
            expires_at=now + timedelta(days=LIFE_DAYS),
        )
        for node, code in codes.items()
    ]
    ClaimCode.objects.bulk_create(
        fresh,
        batch_size=500,
        update_conflicts=True,
        unique_fields=["node"],
        update_fields=["digest", "created_by", "created_at", "expires_at", "used_at"],
    )
    again = [entity_of(node) for node in codes if node.pk in renewed]
    first = [entity_of(node) for node in codes if node.pk not in renewed]
    audit_record_all(actor=actor, entities=again, new="code_renewed", reason="sheet printed again", now=now)
    audit_record_all(actor=actor, entities=first, new="code_made", reason="", now=now)

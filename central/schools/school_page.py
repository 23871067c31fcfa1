"""What a school's page says of its PCs, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django.template.defaultfilters import filesizeformat
from django.utils.formats import number_format
from django.utils.translation import gettext

from central.schools.hardware_class import hardware_class
from central.schools.models import Node, School
from central.schools.pc_words import problems_words
from central.schools.rhythm import Rhythm
from federation.wire.canonical import from_plain
from federation.wire.enrolment import Hardware


@dataclass(frozen=True, slots=True, kw_only=True)
class PcCard:
    """One PC of the school."""

    title: str
    status: str
    has_problems: bool
    facts: tuple[tuple[str, str], ...]


def pc_cards(school: School, *, today: date) -> list[PcCard]:
    """Return what is known of each PC of the school."""
    return [_card(node, today) for node in Node.objects.filter(school=school).select_related("school")]


def _card(node: Node, today: date) -> PcCard:
    told = (
        (gettext("problems there"), problems_words(node.problems)),
        (gettext("contact"), rhythm_words(node.rhythm, today=today)),
        (gettext("hardware"), hardware_words(node)),
        (gettext("free disk"), filesizeformat(node.disk_free_bytes) if node.disk_free_bytes is not None else ""),
        (gettext("waiting parcels"), str(node.outbox_depth)),
        (gettext("can"), ability_words(node)),
        (gettext("clock ahead"), _clock_words(node.clock_ahead_seconds)),
        (gettext("computer name"), node.hostname),
        (gettext("running release"), node.running[:12]),
    )
    return PcCard(
        title=str(node),
        status=node.get_status_display(),
        has_problems=bool(node.problems),
        facts=tuple((name, words) for name, words in told if words),
    )


def rhythm_words(rhythm: Rhythm, *, today: date) -> str:
    """Return how often a PC comes, and whether it has been away for longer than ever."""
    if rhythm.last is None:
        return gettext("never yet")
    gap = number_format(rhythm.gap_days(), decimal_pos=0)
    usual = (
        gettext("about every %(days)s days") % {"days": gap} if rhythm.is_known else gettext("too new to say how often")
    )
    return (
        gettext("%(usual)s; silent for longer than it ever is") % {"usual": usual}
        if rhythm.is_overdue(today)
        else usual
    )


def hardware_words(node: Node) -> str:
    """Return what a PC can carry."""
    return str(hardware_class(from_plain(Hardware, node.hardware) if node.hardware else None).label)


def ability_words(node: Node) -> str:
    """Return what a PC can do."""
    words = {"chat": gettext("chat"), "train": gettext("learn")}
    return ", ".join(words.get(name, name) for name in node.capabilities)


def _clock_words(seconds: int | None) -> str:
    if not seconds:
        return ""
    return gettext("%(minutes)s minutes") % {"minutes": number_format(seconds / 60, decimal_pos=0)}

"""The active school PCs: when they were last heard of, what they run, and how regions stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count
from django.utils.translation import gettext

from central.bars import Segment, bar_segments
from central.dashboard.lists import Figure, Lists, place_of, release_titles
from central.schools.admin_filters import CONTACT_WORDS, CONTACTS, contact_condition
from central.schools.models import Node, NodeStatus

ACTIVE = NodeStatus.ACTIVE.value
MOST_RELEASES = 8
SHADES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A figure with its bar."""

    figure: Figure
    segment: Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionTile:
    """A region: its active PCs, and those of them that were heard of within a week; `cell` is its place on the map."""

    region: str
    cell: str
    active: Figure
    recent: Figure
    percent: int
    shade: int
    """0, nobody was heard of, to SHADES, everybody was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All that is drawn of the fleet."""

    active: Figure
    contacts: list[Bar]
    releases: list[Bar]
    tiles: list[RegionTile]
    elsewhere: list[RegionTile]


def fleet_figures(lists: Lists, *, now: datetime) -> Fleet:
    """Return the figures of the fleet."""
    nodes = lists.rows(Node).filter(status=NodeStatus.ACTIVE)
    counts = nodes.aggregate(
        **{contact: Count("pk", filter=contact_condition(contact, now=now)) for contact in CONTACTS}
    )
    total = sum(counts.values())
    tiles = _tiles(lists, now=now)
    return Fleet(
        active=Figure(words=gettext("active school PCs"), number=total, place=_place()),
        contacts=_bars(
            [
                Figure(words=str(CONTACT_WORDS[each]), number=counts[each], place=_place(contact=each))
                for each in CONTACTS
            ],
            whole=total,
        ),
        releases=_bars(_releases(lists), whole=total),
        tiles=[tile for tile in tiles if tile.cell],
        elsewhere=[tile for tile in tiles if not tile.cell],
    )


def _place(**lookups: object) -> str:
    return place_of(Node, status__exact=ACTIVE, **lookups)


def _bars(figures: list[Figure], *, whole: int) -> list[Bar]:
    return [Bar(figure=each, segment=bar_segments([each.number], whole=whole)[0]) for each in figures]


def _releases(lists: Lists) -> list[Figure]:
    nodes = lists.rows(Node).filter(status=NodeStatus.ACTIVE)
    found = nodes.values_list("running").annotate(number=Count("pk")).order_by("-number", "running")[:MOST_RELEASES]
    rows = list(found)
    titles = release_titles(digest for digest, _number in rows)
    return [
        Figure(words=_release_words(digest, titles), number=number, place=_place(running__exact=digest))
        for digest, number in rows
    ]


def _release_words(digest: str, titles: Mapping[str, str]) -> str:
    if not digest:
        return gettext("no release yet")
    return titles.get(digest, digest[:12])


def _tiles(lists: Lists, *, now: datetime) -> list[RegionTile]:
    nodes = lists.rows(Node).filter(status=NodeStatus.ACTIVE)
    recent = Count("pk", filter=contact_condition("recent", now=now))
    rows = nodes.values_list("school__region").annotate(active=Count("pk"), recent=recent)
    taken: set[str] = set()
    return [
        _tile(region, active, recent_count, taken)
        for region, active, recent_count in rows.order_by("-active", "school__region")
    ]


def _tile(region: str, active: int, recent: int, taken: set[str]) -> RegionTile:
    cell = cell_of(region)
    # Of two spellings of a region the one with more PCs is on the map, the other beside it.
    cell = "" if cell in taken else cell
    taken.add(cell)
    lookups: dict[str, object] = {"school__region": region}
    words = region or gettext("no region")
    return RegionTile(
        region=words,
        cell=cell,
        active=Figure(words=words, number=active, place=_place(**lookups)),
        recent=Figure(words=words, number=recent, place=_place(contact="recent", **lookups)),
        percent=round(100 * recent / active),
        shade=SHADES * recent // active,
    )


# The country's five regions as tiles, north above and east to the right, by what their names have in every spelling.
_CELLS: Mapping[str, tuple[str, ...]] = {
    "sughd": ("суғд", "согд", "sughd"),
    "dushanbe": ("душанбе", "dushanbe"),
    "republican": ("тобеи", "нтҷ", "республиканск", "drs"),
    "badakhshan": ("бадахшон", "вмкб", "гбао", "бадахшан", "badakhshan", "gbao"),
    "khatlon": ("хатлон", "khatlon"),
}


def cell_of(region: str) -> str:
    """Return the place of a region on the map of tiles, or nothing where its name is not known."""
    name = region.casefold()
    return next((cell for cell, words in _CELLS.items() if any(word in name for word in words)), "")

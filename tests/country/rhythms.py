"""How schools live: where they are, when a link or a courier comes, when the power goes, how much teachers correct.

Assumptions, not measurements: the shares of the regions are those of their schools, rounded; the mixture of rhythms
says only that cities have better links than mountains. Time is in seconds since the play began, at midnight.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

HOUR = 3600.0
DAY = 24 * HOUR


class Rhythm(StrEnum):
    """What a school's contact with the world is like."""

    CITY = "city"
    """A link on most days, at school hours, for some half an hour."""
    RURAL = "rural"
    """A link about once a week, for some minutes."""
    WINTER = "winter"
    """Power from 5 to 8 and from 17 to 22 o'clock only; a link every other day, while there is power."""
    STICK = "stick"
    """No link: a courier with a USB stick comes about every three weeks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A region's share of the schools, and how many in a hundred of its schools live by each rhythm."""

    name: str
    share: float
    rhythms: dict[Rhythm, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One school."""

    number: int
    region: str
    rhythm: Rhythm
    kbit_s: float
    corrections_a_day: float


REGIONS = (
    Region(name="Душанбе", share=0.04, rhythms={Rhythm.CITY: 95, Rhythm.RURAL: 5, Rhythm.WINTER: 0, Rhythm.STICK: 0}),
    Region(name="Суғд", share=0.29, rhythms={Rhythm.CITY: 40, Rhythm.RURAL: 35, Rhythm.WINTER: 15, Rhythm.STICK: 10}),
    Region(name="Хатлон", share=0.37, rhythms={Rhythm.CITY: 25, Rhythm.RURAL: 40, Rhythm.WINTER: 25, Rhythm.STICK: 10}),
    Region(name="НТҶ", share=0.22, rhythms={Rhythm.CITY: 30, Rhythm.RURAL: 40, Rhythm.WINTER: 20, Rhythm.STICK: 10}),
    Region(name="ВМКБ", share=0.08, rhythms={Rhythm.CITY: 10, Rhythm.RURAL: 30, Rhythm.WINTER: 35, Rhythm.STICK: 25}),
)
_KBIT_S = {Rhythm.CITY: (512, 4096), Rhythm.RURAL: (64, 512), Rhythm.WINTER: (64, 1024), Rhythm.STICK: (0, 0)}
_DAYS_BETWEEN = {Rhythm.CITY: (1, 1), Rhythm.RURAL: (4, 10), Rhythm.WINTER: (1, 3), Rhythm.STICK: (14, 28)}
_MINUTES = {Rhythm.CITY: (5, 60), Rhythm.RURAL: (2, 15), Rhythm.WINTER: (2, 12), Rhythm.STICK: (0, 0)}
_HOURS = {Rhythm.CITY: (7, 16), Rhythm.RURAL: (8, 16), Rhythm.WINTER: (17, 21), Rhythm.STICK: (9, 15)}


def places_draw(rng: random.Random, *, schools: int) -> list[Place]:
    """Return `schools` places, each region with its share of them, at least one."""
    places: list[Place] = []
    for region in REGIONS:
        left = schools - len(places)
        count = left if region is REGIONS[-1] else min(left, max(1, round(region.share * schools)))
        places += [_place_draw(rng, len(places) + index, region) for index in range(count)]
    return places


def contacts_draw(rng: random.Random, place: Place, *, until: float) -> list[tuple[float, float]]:
    """Return when a link is up, or a courier there (start and end are the same), in order."""
    contacts: list[tuple[float, float]] = []
    day = float(rng.randrange(_DAYS_BETWEEN[place.rhythm][1]))
    while day * DAY < until:
        start = day * DAY + rng.uniform(*_HOURS[place.rhythm]) * HOUR
        contacts.append((start, start + rng.uniform(*_MINUTES[place.rhythm]) * 60))
        day += rng.randint(*_DAYS_BETWEEN[place.rhythm])
    return contacts


def training_ends(rng: random.Random, place: Place, *, now: float) -> float:
    """Return when a training that is due from `now` on is done: in the coming night, or the one after a power cut.

    With power from 17 to 22 o'clock only, it begins then; a cut costs a day, for it goes on from its checkpoint.
    """
    begins = 17.5 if place.rhythm is Rhythm.WINTER else 22.0
    start = (now // DAY) * DAY + begins * HOUR
    if start < now:
        start += DAY
    cuts = rng.random() < (0.4 if place.rhythm is Rhythm.WINTER else 0.05)
    return start + rng.uniform(0.3, 3.0) * HOUR + cuts * DAY


def _place_draw(rng: random.Random, number: int, region: Region) -> Place:
    (rhythm,) = rng.choices(list(region.rhythms), weights=list(region.rhythms.values()))
    low, high = _KBIT_S[rhythm]
    return Place(
        number=number,
        region=region.name,
        rhythm=rhythm,
        kbit_s=low * (high / low) ** rng.random() if low else 0.0,
        # A few schools correct every day, most of them now and then.
        corrections_a_day=min(rng.lognormvariate(-0.5, 0.8), 5.0),
    )

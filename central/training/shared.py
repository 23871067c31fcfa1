"""What all schools share of the open seasons, as a check-in looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from central.releases.models import Release
from central.schools.shared_facts import SharedFacts
from central.training.models import OptOut, Plan, Season, SeasonStatus
from central.training.plans import plans_newest, season_version, settings_of


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSeason:
    """A season with how many adapters it has adopted, which are its starts, and its newest plan for each start."""

    season: Season
    version: int
    max_staleness: int
    adopted: Mapping[str, int]
    """Ids of the season's adapters that are in force, by digest."""
    plans: Mapping[int | None, Plan]
    """By the adapter's id; None: the base alone. Without what was signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSeasons:
    """The open seasons by the id of their base, and on which base each release in force stands."""

    seasons: Mapping[int, OpenSeason]
    base_of: Mapping[str, int]
    withdrawn: frozenset[int]
    """Ids of schools that take no part."""

    def season_of(self, running: str) -> OpenSeason | None:
        """Return the open season of the base that runs, or that the adapter stands on which runs."""
        base = self.base_of.get(running)
        return None if base is None else self.seasons.get(base)


def _read() -> SharedSeasons:
    in_force = Release.objects.in_force().exclude(digest="")
    held = list(in_force.values_list("pk", "digest", "base"))
    adapters = {pk: digest for pk, digest, base in held if base}
    seasons = Season.objects.filter(status=SeasonStatus.OPEN)
    return SharedSeasons(
        seasons={season.base_id: _open_season(season, adapters) for season in seasons},
        base_of={digest: base or pk for pk, digest, base in held},
        withdrawn=frozenset(OptOut.objects.order_by().values_list("school", flat=True)),
    )


def _open_season(season: Season, adapters: Mapping[int, str]) -> OpenSeason:
    own = season.rounds.filter(release__in=adapters).values_list("release", flat=True)
    return OpenSeason(
        season=season,
        version=season_version(season),
        max_staleness=settings_of(season).max_staleness,
        adopted={adapters[pk]: pk for pk in own if pk is not None},
        plans=plans_newest(season),
    )


seasons_shared = SharedFacts(_read)

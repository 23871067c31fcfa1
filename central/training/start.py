"""Where a round starts: the season's newest adapter in force, or the base alone."""

from __future__ import annotations

from dataclasses import dataclass

from central.disk import CentreDisk
from central.releases.services import release_folder
from central.training.models import Round, Season
from central.training.seasons import season_newest
from federation.adapter_file import adapter_read
from federation.basis import AdapterFactors

ADAPTER_NAME = "adapter.bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """An adapter to go on from, and the round that made it; neither where the season begins."""

    round: Round | None
    factors: AdapterFactors | None

    @property
    def adopted(self) -> int:
        """Return the how-many-th adapter of its season it is; 0 where the season begins."""
        return (self.round and self.round.version) or 0


def adopted_of(season: Season) -> int:
    """Return what `start_of_round(…).adopted` is, without reading the adapter."""
    return Start(round=season_newest(season), factors=None).adopted


def start_of_round(season: Season, disk: CentreDisk) -> Start:
    """Return where the season's next adapter starts.

    Raises:
        AdapterDamaged: the released adapter cannot be read back.
    """
    newest = season_newest(season)
    if newest is None or newest.release is None:
        return Start(round=None, factors=None)
    path = release_folder(release=newest.release, disk=disk) / ADAPTER_NAME
    adapter = adapter_read(path, base_digest=season.base.digest)
    return Start(round=newest, factors=adapter.factors)

"""What centre and schools say of the same things, side by side: each must be there once, at both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.acceptance.centre import CentreServer
from tests.acceptance.school import SchoolPc
from tests.centre_backup import DOUBLED, GAPS

Ratings = dict[tuple[str, str], tuple[int, int, str]]
"""By school and record: revision, stars, correction."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """One look at all of them; what was read once is kept."""

    centre: CentreServer
    schools: Sequence[SchoolPc]

    @cached_property
    def nodes(self) -> dict[str, int]:
        """Active PCs by school."""
        return dict(Counter(name for (name,) in self.centre.rows(_NODES)))

    @cached_property
    def centre_ratings(self) -> list[tuple[Any, ...]]:
        """Every rating that the centre has."""
        return sorted(self.centre.rows(_CENTRE_RATINGS))

    @cached_property
    def school_ratings(self) -> list[tuple[Any, ...]]:
        """The newest revision of every rating that schools have."""
        return sorted((school.name, *row) for school in self.schools for row in school.rows(_SCHOOL_RATINGS))

    @property
    def ratings_agree(self) -> bool:
        """Whether both are the same: none lost, none twice, no older revision."""
        return self.centre_ratings == self.school_ratings

    @property
    def known_ratings(self) -> int:
        """How many the centre has."""
        return len(self.centre_ratings)

    @cached_property
    def updates(self) -> dict[str, list[tuple[Any, ...]]]:
        """Digest and labels of updates, as the centre has accepted them and as schools have the receipt."""
        received = [row for school in self.schools for row in school.rows(_SCHOOL_UPDATES)]
        return {"centre": sorted(self.centre.rows(_CENTRE_UPDATES)), "schools": sorted(received)}

    @cached_property
    def waiting(self) -> int:
        """Parcels and updates at schools that have no receipt."""
        return sum(school.rows(query)[0][0] for school in self.schools for query in _WAITING)

    def claims(self, *, release: str, programs: Mapping[str, str]) -> dict[str, bool]:
        """Return, by what is wrong where it is not so, whether each thing is there exactly once."""
        contributions = self.centre.rows("SELECT contributions FROM releases_release WHERE digest = %s", release)[0][0]
        digests = [digest for digest, _labels in self.updates["centre"]]
        running = {school.name: school.version for school in self.schools}
        at_centre = dict(self.centre.rows(_PROGRAMS))
        newest = dict(zip(running, [programs["first"], programs["newer"], programs["newer"]], strict=True))
        return {
            f"schools have {self.school_ratings}, the centre {self.centre_ratings}": self.ratings_agree,
            f"of updates it is {self.updates}": self.updates["centre"] == self.updates["schools"],
            "not each school has one update": len(digests) == len(self.schools),
            f"the adapter counts {contributions}": sorted(contributions) == sorted(digests),
            f"{self.waiting} parcels or updates have no receipt": self.waiting == 0,
            "parcels are at the centre twice": not self.centre.rows(DOUBLED),
            "parcels are missing at the centre": not self.centre.rows(GAPS),
            "parcels are in quarantine": self.centre.rows(_QUARANTINED) == [(0,)],
            "the centre believes that a PC was copied": self.centre.rows(_ALARMS) == [(0,)],
            f"the centre knows {self.nodes}": self.nodes == {school.name: 1 for school in self.schools},
            f"PCs run {running}, and the centre believes {at_centre}": running == newest == at_centre,
            "a PC does not run the adapter": all(school.runs(release) for school in self.schools),
        }

    def figures(self) -> dict[str, object]:
        """Return what is to be shown of it."""
        return {
            "ratings": self.known_ratings,
            "parcels": self.centre.rows("SELECT count(*) FROM feedback_receivedparcel")[0][0],
            "updates": len(self.updates["centre"]),
            "labels": sum(labels for _digest, labels in self.updates["centre"]),
            "PCs": sum(self.nodes.values()),
            "without a receipt": self.waiting,
        }


_NODES = """
SELECT school.name FROM schools_node node JOIN schools_school school ON school.id = node.school_id
WHERE node.status = 'active'
"""
_CENTRE_RATINGS = """
SELECT school.name, rating.record_id, rating.revision, rating.stars, rating.correction FROM feedback_rating rating
JOIN schools_node node ON node.id = rating.node_id JOIN schools_school school ON school.id = node.school_id
WHERE NOT rating.is_deleted
"""
_SCHOOL_RATINGS = "SELECT record_id, revision, stars, correction FROM ratings_rating WHERE is_active"
_CENTRE_UPDATES = "SELECT digest, labels FROM training_update WHERE status = 'accepted'"
_SCHOOL_UPDATES = "SELECT sha256, labels FROM rounds_localupdate WHERE status = 'accepted'"
_WAITING = (
    "SELECT count(*) FROM outbox_parcel WHERE NOT is_acknowledged",
    "SELECT count(*) FROM rounds_localupdate WHERE status = 'ready'",
)
_QUARANTINED = "SELECT count(*) FROM feedback_receivedparcel WHERE status <> 'accepted'"
_ALARMS = "SELECT count(*) FROM feedback_clonealarm"
_PROGRAMS = """
SELECT school.name, standing.version FROM programs_programstanding standing
JOIN schools_node node ON node.id = standing.node_id JOIN schools_school school ON school.id = node.school_id
"""

"""Whom a rollout is meant for at all. Pure.

A target names what a school must have: of each kind of mark one of those listed, and of a kind that is not listed any.
So "Khatlon or Sughd, gymnasiums" is two regions and one kind of school. An empty target is the whole country.
"""

from __future__ import annotations

from dataclasses import dataclass

from central.schools.hardware_class import HardwareClass


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolFacts:
    """What is known of one school PC and its school, as far as rollouts choose by it."""

    node_id: str
    school_id: int
    region: str
    district: str
    kind: str
    hardware: HardwareClass
    tags: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The marks that schools must have; an empty tuple asks for nothing."""

    regions: tuple[str, ...] = ()
    districts: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def admits(self, facts: SchoolFacts) -> bool:
        """Tell whether the rollout is for this PC."""
        return (
            _is_one_of(facts.region, self.regions)
            and _is_one_of(facts.district, self.districts)
            and _is_one_of(facts.kind, self.kinds)
            and _is_one_of(facts.hardware.value, self.hardware)
            and (not self.tags or not facts.tags.isdisjoint(self.tags))
        )


def _is_one_of(mark: str, wanted: tuple[str, ...]) -> bool:
    return not wanted or mark in wanted

"""Groups a round's schools by region, so that a small region is heard and none is so small that one school rules it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from federation.errors import WireError


class TooFewToBeRobust(WireError):
    """The round has fewer updates than the fewest among which a robust rule can outvote a poisoned one."""

    code = "too_few_to_be_robust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The regions that speak with one voice, and their nodes; both in alphabetical order."""

    regions: tuple[str, ...]
    node_ids: tuple[str, ...]


def regions_pool(region_by_node: Mapping[str, str], *, fewest: int) -> tuple[Pool, ...]:
    """Return pools of at least `fewest` nodes that hold every node once, in the order of their regions.

    A region with enough nodes is a pool of its own; the others are one together. If these are still too few, they join
    the smallest pool there is: left out, their schools would go unheard; left alone, one school could speak for them.

    Raises:
        TooFewToBeRobust: there are fewer than `fewest` nodes in all.
    """
    if len(region_by_node) < fewest:
        raise TooFewToBeRobust(updates=len(region_by_node), fewest=fewest)
    nodes_by_region = defaultdict(list)
    for node_id, region in region_by_node.items():
        nodes_by_region[region].append(node_id)
    groups = [[region] for region, nodes in sorted(nodes_by_region.items()) if len(nodes) >= fewest]
    small = [region for region, nodes in sorted(nodes_by_region.items()) if len(nodes) < fewest]
    if sum(len(nodes_by_region[region]) for region in small) >= fewest:
        groups.append(small)
    elif small:
        smallest = min(groups, key=lambda group: (sum(len(nodes_by_region[region]) for region in group), group))
        smallest.extend(small)
    pools = (
        Pool(
            regions=tuple(sorted(group)),
            node_ids=tuple(sorted(node_id for region in group for node_id in nodes_by_region[region])),
        )
        for group in groups
    )
    return tuple(sorted(pools, key=lambda pool: pool.regions))

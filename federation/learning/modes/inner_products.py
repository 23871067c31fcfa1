"""How a round's updates lie to one another, from one pass over their arrays, one array of every school at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from federation.learning.schemes.contribution import ArrayName, Contribution
from federation.wire.rounds import Factor

BLOCK = 65_536
"""Coordinates that are multiplied at once."""


def learnt_names(contribution: Contribution) -> tuple[ArrayName, ...]:
    """Return the names of the arrays that training changed; Gram matrices only describe where it looked."""
    return tuple(sorted(name for name in contribution.arrays if name[1] is not Factor.GRAM))


def stacked(contributions: Sequence[Contribution], name: ArrayName) -> NDArray[np.float32]:
    """Return one array of every school as (schools, coordinates).

    Raises:
        ValueError: the schools' arrays differ in size; the inbox has refused such updates.
    """
    return np.stack([contribution.arrays[name].ravel() for contribution in contributions])


def inner_products(contributions: Sequence[Contribution]) -> NDArray[np.float64]:
    """Return the inner products (schools, schools) of the learnt arrays, each update taken as one vector.

    Everything about lengths, angles and distances follows from it, so whoever judges updates needs no more memory than
    one array of every school and this table. The contributions' arrays may be read from the disk at each look.
    """
    table = np.zeros((len(contributions), len(contributions)))
    for name in learnt_names(contributions[0]):
        stack = stacked(contributions, name)
        for start in range(0, stack.shape[1], BLOCK):
            block = stack[:, start : start + BLOCK].astype(np.float64)
            table += block @ block.T
    return table

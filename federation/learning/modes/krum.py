"""Choose the updates that lie closest together, by Flower's own Krum and MultiKrum."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict
from flwr.serverapp.strategy.multikrum import select_multikrum
from numpy.typing import NDArray


def krum_select(table: NDArray[np.float64], *, malicious: int, selected: int) -> tuple[int, ...]:
    """Return the indices, in ascending order, of the `selected` updates that Krum's score finds the most central.

    `table` holds the inner products (schools, schools). Krum looks at distances alone, so Flower is given points in as
    many dimensions as there are schools, with the same distances as the updates themselves: the result is the same and
    the memory does not grow with the model. Of updates with the same score the earlier is chosen.

    Source: Blanchard et al. 2017, "Machine learning with adversaries", sections 3 and 4.
    """
    records = [RecordDict({"arrays": ArrayRecord({"point": Array(point)})}) for point in _points(table)]
    chosen = select_multikrum(records, num_malicious_nodes=malicious, num_nodes_to_select=selected)
    places = {id(record): place for place, record in enumerate(records)}
    return tuple(sorted(places[id(record)] for record in chosen))


def _points(table: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(table)
    # Rounding can leave an eigenvalue of 0 a little below it.
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)), dtype=np.float64)

"""The benchmark's own count of what was lost: it must find a loss."""

import pytest

from tests.benchmarks.centre import lost

HEARD = {"a": (3, "base"), "b": (4, "report"), "c": (5, "adapter")}
HELD = {
    "numbers": {"a": 3, "b": 4, "c": 5},
    "statuses": {"a": "pending", "b": "offered", "c": "committed"},
    "moves": {"b": 1, "c": 2},
}


def test_what_was_answered_and_is_held_is_not_lost():
    assert lost(HEARD, HELD) == 0


@pytest.mark.parametrize(
    ("table", "node", "value"),
    [("numbers", "a", 2), ("statuses", "b", "pending"), ("statuses", "c", "offered"), ("moves", "c", 3)],
)
def test_a_school_of_which_the_tables_hold_something_else_is_lost(table, node, value):
    held = {**HELD, table: {**HELD[table], node: value}}
    assert lost(HEARD, held) == 1

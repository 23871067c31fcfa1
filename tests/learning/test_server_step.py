"""The server's step: from the season's adapter along what schools learnt, with momentum, in every scheme."""

from dataclasses import replace

import numpy as np
import pytest

from federation.learning.aggregate import aggregate
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.server import Step, server_step
from federation.wire.rounds import SchemeName
from tests.learning.contributions import SIZES, TERMS, contribution, own_product, product, start_of

every_scheme = pytest.mark.parametrize("scheme", SchemeName)


def moved(scheme, number, *, start=None, velocity=None, size=1.0, decay=0.0) -> Step:
    """A round in which one school took part."""
    chosen = scheme_of(scheme)
    delta = aggregate([contribution(scheme, number)], scheme=chosen, terms=TERMS, max_norm=1e6, max_labels=64).delta
    return server_step(scheme=chosen, terms=TERMS, start=start, velocity=velocity, delta=delta, size=size, decay=decay)


def nearest(wanted: np.ndarray, rank: int = 4) -> np.ndarray:
    left, singular, right = np.linalg.svd(wanted)
    return (left[:, :rank] * singular[:rank]) @ right[:rank]


@every_scheme
def test_a_step_of_no_size_stays_where_it_started(scheme):
    start = start_of(scheme)
    stayed = moved(scheme, 1, start=start, size=0.0).adapter
    for slot in SIZES:
        np.testing.assert_allclose(product(stayed, slot), product(start, slot), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("start", [None, start_of(SchemeName.FLORA)], ids=["base", "an-adapter-with-its-a"])
def test_updates_of_more_directions_than_the_adapter_are_cut_to_the_nearest(start):
    """What schools learnt under the frozen A stands beside a start that brought its own; nothing else is lost."""
    chosen, school = scheme_of(SchemeName.FFA_LORA), contribution(SchemeName.FFA_LORA, 1)
    terms = replace(TERMS, adapter_rank=3)
    cut = chosen.step(terms, start, {name: array.astype(np.float64) for name, array in school.arrays.items()}, 0.5)
    for slot in SIZES:
        learnt = own_product(SchemeName.FFA_LORA, school, slot, start) - product(start, slot)
        np.testing.assert_allclose(
            product(cut, slot), nearest(product(start, slot) + learnt / 2, rank=3), rtol=1e-3, atol=1e-4
        )
        assert cut.b[slot].shape[0] == cut.a[slot].shape[1] == 3


@pytest.mark.parametrize("scheme", [name for name in SchemeName if name is not SchemeName.FEDIT])
def test_half_a_step_moves_the_served_products_half_the_way(scheme):
    start = start_of(scheme)
    half = moved(scheme, 1, start=start, size=0.5).adapter
    for slot in SIZES:
        wanted = (product(start, slot) + own_product(scheme, contribution(scheme, 1), slot, start)) / 2
        np.testing.assert_allclose(product(half, slot), nearest(wanted), rtol=1e-3, atol=1e-4)


def test_half_a_step_of_fedit_moves_each_factor_half_the_way():
    start, school = start_of(SchemeName.FEDIT), contribution(SchemeName.FEDIT, 1)
    half = moved(SchemeName.FEDIT, 1, start=start, size=0.5).adapter
    for (slot, factor), array in school.arrays.items():
        held = getattr(start, factor.value)[slot]
        np.testing.assert_allclose(getattr(half, factor.value)[slot], held + 0.5 * array, rtol=1e-5, atol=1e-6)


@every_scheme
def test_momentum_adds_what_is_left_of_the_earlier_rounds(scheme):
    """Three rounds against the plain recursion v = 0.5 v + Δ on what the scheme moves."""
    velocity = None
    for number in (1, 2, 3):
        velocity = moved(scheme, number, velocity=velocity, decay=0.5).velocity
    deltas = [moved(scheme, number).velocity for number in (1, 2, 3)]
    if scheme is SchemeName.FLORA:
        for slot in SIZES:
            products = [_stacked(delta, slot) for delta in deltas]
            wanted = products[0] / 4 + products[1] / 2 + products[2]
            np.testing.assert_allclose(_stacked(velocity, slot), wanted, rtol=1e-4, atol=1e-6)
        return
    for name, array in velocity.items():
        wanted = deltas[0][name] / 4 + deltas[1][name] / 2 + deltas[2][name]
        np.testing.assert_allclose(array, wanted, rtol=1e-6, atol=1e-9)


def _stacked(delta, slot) -> np.ndarray:
    (a,) = (array for (name, factor), array in delta.items() if name == slot and factor.value == "a")
    (b,) = (array for (name, factor), array in delta.items() if name == slot and factor.value == "b")
    return a @ b


@every_scheme
def test_a_first_round_moves_by_its_delta_whatever_the_decay(scheme):
    plain, hasty = moved(scheme, 1).adapter, moved(scheme, 1, decay=0.9).adapter
    for slot in SIZES:
        np.testing.assert_array_equal(product(plain, slot), product(hasty, slot))


@every_scheme
def test_only_a_scheme_that_learns_a_ships_one(scheme):
    learns_a = scheme in (SchemeName.FEDIT, SchemeName.FLORA)
    assert (moved(scheme, 1).adapter.a is not None) == learns_a
    assert (moved(scheme, 1, start=start_of(scheme)).adapter.a is not None) == learns_a

"""Natural steps: their direction and length, and that schools' steps add up to the step on everybody's labels."""

import numpy as np
import pytest
import torch
from torch import nn

from federation.learning.local_steps import NaturalSteps
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.contribution import Contribution
from federation.wire.rounds import Factor, SchemeName
from tests.learning.contributions import RANK, SIZES, TERMS, gram_of, inner

GRAMS = {slot: gram_of(inner(1, slot)) for slot in SIZES}


def stepped(grams, gradients, *, longest=1e6, ridge=TERMS.ridge):
    deltas = {slot: nn.Parameter(torch.zeros(gradient.shape)) for slot, gradient in gradients.items()}
    for slot, delta in deltas.items():
        delta.grad = torch.from_numpy(gradients[slot])
    NaturalSteps(deltas, grams, ridge=ridge, longest=longest).move()
    return {slot: delta.detach().numpy() for slot, delta in deltas.items()}


def gradients_of(number):
    rng = np.random.default_rng(number)
    return {slot: rng.normal(size=(RANK, size.d_out)).astype(np.float32) for slot, size in SIZES.items()}


def length_of(arrays):
    return np.sqrt(sum(np.sum(np.square(array, dtype=np.float64)) for array in arrays.values()))


def test_a_step_divides_the_gradient_by_the_gram_matrix_and_ridge():
    gradients = gradients_of(1)
    for slot, moved in stepped(GRAMS, gradients).items():
        way = np.linalg.solve(GRAMS[slot] + TERMS.ridge * np.eye(RANK), gradients[slot])
        np.testing.assert_allclose(moved, -way, rtol=1e-3, atol=1e-6)


def test_a_step_that_would_be_longer_than_the_longest_keeps_its_direction():
    gradients = gradients_of(1)
    free, held = stepped(GRAMS, gradients), stepped(GRAMS, gradients, longest=0.3)
    assert length_of(free) > 0.3
    assert length_of(held) == pytest.approx(0.3, rel=1e-5)
    for slot, moved in held.items():
        np.testing.assert_allclose(moved, free[slot] * (0.3 / length_of(free)), rtol=1e-3, atol=1e-6)


def test_a_slot_on_which_the_loss_hangs_more_moves_less():
    first, *others = SIZES
    gradients = gradients_of(1)
    moved, plain = stepped(GRAMS | {first: 100 * GRAMS[first]}, gradients), stepped(GRAMS, gradients)
    np.testing.assert_allclose(100 * moved[first], plain[first], rtol=1e-3, atol=1e-6)
    for slot in others:
        np.testing.assert_array_equal(moved[slot], plain[slot])


def test_a_slot_without_a_gram_matrix_stays():
    assert length_of(stepped({}, gradients_of(2))) == 0


def test_no_gradient_moves_nothing():
    still = stepped(GRAMS, {slot: np.zeros((RANK, size.d_out), np.float32) for slot, size in SIZES.items()})
    assert length_of(still) == 0


def test_one_step_each_adds_up_to_one_step_on_everybodys_labels():
    """Least squares undoes each school's own division: what is left is the sum of gradients over the sum of Grams."""
    scheme, schools = scheme_of(SchemeName.FFA_LORA), (1, 2, 3)
    running = scheme.accumulator(TERMS)
    stiff = dict.fromkeys(SIZES, 0.0)
    way = dict.fromkeys(SIZES, 0.0)
    for number in schools:
        gradients, grams = gradients_of(number), {slot: gram_of(inner(number, slot)) for slot in SIZES}
        arrays = {(slot, Factor.B): array for slot, array in stepped(grams, gradients).items()}
        arrays |= {(slot, Factor.GRAM): gram for slot, gram in grams.items()}
        running.add(Contribution(node_id=f"school-{number}", labels=1, staleness=0, arrays=arrays), 1.0)
        way = {slot: way[slot] - gradients[slot] for slot in SIZES}
        stiff = {slot: stiff[slot] + grams[slot] + TERMS.ridge * np.eye(RANK) for slot in SIZES}
    for slot in SIZES:
        wanted = np.linalg.solve(stiff[slot], way[slot])
        np.testing.assert_allclose(running.result()[slot, Factor.B], wanted, rtol=1e-3, atol=1e-5)

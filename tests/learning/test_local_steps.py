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


def stepped(grams, gradients, *, length=0.3, ridge=TERMS.ridge):
    deltas = {slot: nn.Parameter(torch.zeros(gradient.shape)) for slot, gradient in gradients.items()}
    for slot, delta in deltas.items():
        delta.grad = torch.from_numpy(gradients[slot])
    NaturalSteps(deltas, grams, ridge=ridge, length=length).move()
    return {slot: delta.detach().numpy() for slot, delta in deltas.items()}


def gradients_of(number):
    rng = np.random.default_rng(number)
    return {slot: rng.normal(size=(RANK, size.d_out)).astype(np.float32) for slot, size in SIZES.items()}


def length_of(arrays):
    return np.sqrt(sum(np.sum(np.square(array, dtype=np.float64)) for array in arrays.values()))


def test_a_step_has_its_length_and_divides_the_gradient_by_the_gram_matrix_and_ridge():
    gradients = gradients_of(1)
    moved = stepped(GRAMS, gradients)
    assert length_of(moved) == pytest.approx(0.3, rel=1e-5)
    ways = {slot: np.linalg.solve(GRAMS[slot] + TERMS.ridge * np.eye(RANK), gradients[slot]) for slot in SIZES}
    for slot, way in ways.items():
        np.testing.assert_allclose(moved[slot], -0.3 * way / length_of(ways), rtol=1e-3, atol=1e-6)


def test_the_scale_of_a_gram_matrix_plays_no_part():
    gradients = gradients_of(1)
    moved = stepped({slot: 1e-9 * gram for slot, gram in GRAMS.items()}, gradients)
    for slot, array in stepped(GRAMS, gradients).items():
        np.testing.assert_allclose(moved[slot], array, rtol=1e-3, atol=1e-6)


def test_without_a_gram_matrix_a_slot_follows_its_gradient():
    gradients = gradients_of(2)
    for slot, array in stepped({}, gradients).items():
        np.testing.assert_allclose(array, -0.3 * gradients[slot] / length_of(gradients), rtol=1e-4, atol=1e-7)


def test_no_gradient_moves_nothing():
    still = stepped(GRAMS, {slot: np.zeros((RANK, size.d_out), np.float32) for slot, size in SIZES.items()})
    assert length_of(still) == 0


def test_one_step_each_adds_up_to_one_step_on_everybodys_labels():
    """Least squares undoes each school's own division: what is left is the sum of gradients over the sum of Grams."""
    scheme, schools = scheme_of(SchemeName.FFA_LORA), (1, 2, 3)
    running = scheme.accumulator(TERMS)
    stiff = {
        (number, slot): gram_of(inner(number, slot)) + TERMS.ridge * np.eye(RANK)
        for number in schools
        for slot in SIZES
    }
    ways = dict.fromkeys(SIZES, 0.0)
    for number in schools:
        gradients, grams = gradients_of(number), {slot: gram_of(inner(number, slot)) for slot in SIZES}
        arrays = {(slot, Factor.B): array for slot, array in stepped(grams, gradients).items()}
        arrays |= {(slot, Factor.GRAM): gram for slot, gram in grams.items()}
        running.add(Contribution(node_id=f"school-{number}", labels=1, staleness=0, arrays=arrays), 1.0)
        own = {slot: np.linalg.solve(stiff[number, slot], gradients[slot]) for slot in SIZES}
        ways = {slot: way - gradients[slot] * (0.3 / length_of(own)) for slot, way in ways.items()}
    for slot, way in ways.items():
        wanted = np.linalg.solve(sum(stiff[number, slot] for number in schools), way)
        np.testing.assert_allclose(running.result()[slot, Factor.B], wanted, rtol=1e-3, atol=1e-5)

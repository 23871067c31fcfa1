"""Rounding a matrix to small integers."""

import numpy as np
import pytest

from central.releases.packaging.bit_plan import Choice, plan_bytes, plan_ladder, plan_under
from central.releases.packaging.rounding import round_compensated, round_nearest

DRAW = np.random.default_rng(1)


def correlated(inputs, count=4000):
    """Inputs as a model has them: a few directions carry most."""
    mix = DRAW.normal(size=(inputs, inputs)) * np.geomspace(1, 0.01, inputs)
    return (DRAW.normal(size=(count, inputs)) @ mix.T).astype(np.float32)


def test_eight_bits_are_within_half_a_step_and_keep_a_grid_that_is_already_there():
    matrix = DRAW.normal(0, 1, (7, 128)).astype(np.float32)
    rounded = round_nearest(matrix, bits=8, block=32)
    steps = np.repeat(rounded.scales, 32, axis=1)
    assert np.all(np.abs(rounded.dequantise() - matrix) <= steps * 0.5001)
    assert np.array_equal(round_nearest(rounded.dequantise(), bits=8, block=32).codes, rounded.codes)


def test_four_bits_have_a_zero_point_and_use_most_of_their_codes():
    matrix = (DRAW.normal(0, 1, (7, 128)) + 2).astype(np.float32)
    rounded = round_nearest(matrix, bits=4, block=32)
    assert rounded.zero_points is not None
    assert np.abs(rounded.dequantise() - matrix).max() <= rounded.scales.max() * 1.5
    assert len(np.unique(rounded.codes)) >= 12


@pytest.mark.parametrize("bits", [4, 8])
def test_a_matrix_of_zeros_stays_one(bits):
    zeros = np.zeros((3, 64), np.float32)
    assert not round_nearest(zeros, bits=bits, block=32).dequantise().any()
    assert not round_compensated(zeros, moments=np.eye(64, dtype=np.float32), bits=bits, block=32).dequantise().any()


@pytest.mark.parametrize(
    ("bits", "block", "inputs"), [(4, 32, 256), (4, 128, 256), (8, 32, 256), (4, 32, 160), (4, 256, 512)]
)
def test_compensated_rounding_keeps_the_output_better_than_rounding_to_nearest(bits, block, inputs):
    matrix, met = DRAW.normal(size=(48, inputs)).astype(np.float32), correlated(inputs)
    moments = met.T @ met / len(met)
    wanted = met @ matrix.T
    errors = [
        np.square(met @ rounded.dequantise().T - wanted).mean()
        for rounded in (
            round_nearest(matrix, bits=bits, block=block),
            round_compensated(matrix, moments=moments, bits=bits, block=block),
        )
    ]
    assert errors[1] < 0.7 * errors[0]


def test_inputs_that_are_never_there_do_not_break_the_rounding():
    moments = np.zeros((64, 64), np.float32)
    rounded = round_compensated(DRAW.normal(size=(4, 64)).astype(np.float32), moments=moments, bits=4, block=32)
    assert np.isfinite(rounded.dequantise()).all()


def choice(bits, size_bytes, loss):
    return Choice(bits=bits, block=32, size_bytes=size_bytes, loss=loss)


def test_the_ladder_gives_up_first_what_costs_least_for_each_byte():
    ladder = plan_ladder(
        {"a": [choice(8, 100, 0.0), choice(4, 50, 0.5)], "b": [choice(8, 100, 0.0), choice(4, 50, 0.1)]}
    )
    assert [(plan["a"].bits, plan["b"].bits) for plan in ladder] == [(8, 8), (8, 4), (4, 4)]
    assert [plan_bytes(plan) for plan in ladder] == [200, 150, 100]
    assert plan_under(ladder, max_bytes=160) == ladder[1]
    assert plan_under(ladder, max_bytes=99) is None

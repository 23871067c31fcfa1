"""Rounding a matrix to small floats."""

import numpy as np
import pytest
import torch

from central.releases.packaging.errors import GraphUnexpected
from central.releases.packaging.float_weights import e4m3_compensate, e4m3_round, float16_round

DRAW = np.random.default_rng(6)
# Half a step of the fraction's three bits; and half of the smallest number of all, at a scale of 1.
RELATIVE, SMALLEST = 1 / 16, 2.0**-10


def test_e4m3_is_torchs_own_rounding():
    matrix = (DRAW.normal(size=(64, 512)) * np.exp(DRAW.normal(0, 3, (64, 512)))).astype(np.float32)
    rounded = e4m3_round(matrix)
    oracle = torch.from_numpy(matrix / rounded.scales[:, None]).to(torch.float8_e4m3fn)
    assert np.array_equal(rounded.values.view(np.uint8), oracle.view(torch.uint8).numpy())
    assert np.abs(rounded.values.astype(np.float32)).max(axis=1).tolist() == [448.0] * 64


def test_a_tie_goes_to_the_even_one():
    # 448 makes the scale 1. Between 1 and 1.125, 1.125 and 1.25, 416 and 448, and 0 and the smallest.
    row = np.array([[448.0, 1.0625, 1.1875, 432.0, -432.0, 2.0**-10, 3 * 2.0**-10]], np.float32)
    assert e4m3_round(row).dequantise()[0].tolist() == [448, 1, 1.25, 448, -448, 0, 2 * 2.0**-9]


@pytest.mark.parametrize("size", [1e4, 1e-6, 1e-30, 1e-42, 1e38])
def test_a_wild_row_survives_as_well_as_a_tame_one_beside_it(size):
    tame = DRAW.uniform(0.5, 1, 64).astype(np.float32)
    matrix = np.stack([tame, tame * np.float32(size), np.zeros(64, np.float32)])
    back = e4m3_round(matrix).dequantise()
    # Numbers of 1e-42 are themselves whole multiples of the least float, 1.4e-45.
    assert np.all(np.abs(back - matrix) <= np.abs(matrix) * RELATIVE + (1e-44 if size == 1e-42 else 0)), back
    assert not back[2].any()
    assert e4m3_round(matrix).scales[2] == 1


def test_in_one_row_the_small_ones_beside_a_wild_one_lose_no_more_than_its_step():
    row = np.array([[1e4, -1e-6, 3.0, 0.5, 0.0]], np.float32)
    rounded = e4m3_round(row)
    allowed = np.maximum(np.abs(row) * RELATIVE, rounded.scales[0] * SMALLEST)
    assert np.all(np.abs(rounded.dequantise() - row) <= allowed * 1.0001)
    assert np.allclose(float16_round(row).dequantise(), row, rtol=2**-11, atol=2.0**-25)


@pytest.mark.parametrize(("form", "bad"), [(float16_round, 7e4), (float16_round, np.nan), (e4m3_round, np.inf)])
def test_what_no_float_of_the_form_can_hold_is_refused(form, bad):
    matrix = np.ones((2, 4), np.float32)
    matrix[1, 2] = bad
    with pytest.raises(GraphUnexpected):
        form(matrix)


@pytest.mark.parametrize("inputs", [64, 300])
def test_compensated_rounding_keeps_the_output_better_than_rounding_to_nearest(inputs):
    mix = DRAW.normal(size=(inputs, inputs)) * np.geomspace(1, 0.01, inputs)
    met = (DRAW.normal(size=(4000, inputs)) @ mix.T).astype(np.float32)
    matrix = DRAW.normal(size=(48, inputs)).astype(np.float32)
    wanted = met @ matrix.T
    rounded = (e4m3_round(matrix), e4m3_compensate(matrix, moments=met.T @ met / len(met)))
    errors = [np.square(met @ each.dequantise().T - wanted).mean() for each in rounded]
    assert errors[1] < 0.7 * errors[0]


def test_a_column_that_outgrows_its_row_is_held_at_the_greatest_number():
    # Inputs that always come together: the second column takes up all of the first one's error.
    matrix = np.array([[3.3, 448.0]], np.float32)
    back = e4m3_compensate(matrix, moments=np.ones((2, 2), np.float32)).dequantise()
    assert np.isfinite(back).all()
    assert np.abs(back).max() <= 448

"""A product with a packed matrix is the plain product, forward and back, and keeps nothing dense."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from federation.learning import packed
from federation.learning.head import head_expect
from federation.learning.packed import (
    BlockMatrix,
    FloatMatrix,
    MatrixPart,
    PackedEmbedding,
    PackedLinear,
    PackedMatrix,
    StackedMatrix,
)


def blocks(rows: int = 11, inputs: int = 64, *, bits: int = 8) -> BlockMatrix:
    draw = torch.Generator().manual_seed(bits)
    codes = torch.randint(0, 256, (rows, inputs * bits // 8), generator=draw, dtype=torch.uint8)
    zeros = torch.randint(0, 2**bits, (rows, inputs // 32), generator=draw, dtype=torch.uint8)
    return BlockMatrix(codes, torch.rand(rows, inputs // 32, generator=draw) * 0.02, zeros, bits)


def floats(dtype: torch.dtype) -> FloatMatrix:
    draw = torch.Generator().manual_seed(3)
    return FloatMatrix(torch.randn(64, 11, generator=draw).to(dtype).T, torch.rand(11, generator=draw))


FORMS = {
    "8 bits": blocks(),
    "4 bits": blocks(bits=4),
    "float8": floats(torch.float8_e4m3fn),
    "float16": floats(torch.float16),
    "rows of another": MatrixPart(blocks(20), 6, 11),
    "common and rare words": StackedMatrix([blocks(4), blocks(5, bits=4), floats(torch.float16)]),
}


@pytest.fixture(params=FORMS.values(), ids=FORMS.keys())
def matrix(request, monkeypatch) -> PackedMatrix:
    monkeypatch.setattr(packed, "_PIECE_NUMBERS", 3 * 64)
    monkeypatch.setattr(packed, "_PRODUCT_NUMBERS", 4 * 64)
    return request.param


def test_the_product_and_its_gradient_are_the_plain_ones(matrix):
    outputs, inputs = matrix.shape
    plain = matrix.rows(0, outputs)
    x = torch.randn(2, 5, inputs, generator=torch.Generator().manual_seed(1), requires_grad=True)
    towards = torch.randn(2, 5, outputs, generator=torch.Generator().manual_seed(2))
    product = PackedLinear(matrix)(x)
    torch.testing.assert_close(product, functional.linear(x, plain))
    (gradient,) = torch.autograd.grad((product * towards).sum(), x)
    torch.testing.assert_close(gradient, towards @ plain)


def test_nothing_of_the_matrix_is_kept_for_the_backward_pass(matrix):
    kept = []
    x = torch.randn(3, matrix.shape[1], requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        PackedLinear(matrix)(x).sum().backward()
    assert kept == []


def test_rows_are_picked_by_their_ids_and_scaled_as_an_embedding(matrix):
    plain = matrix.rows(0, matrix.shape[0])
    ids = torch.tensor([[10, 0, 4], [3, 3, 9]])
    np.testing.assert_array_equal(matrix.pick(ids.reshape(-1)), plain[ids.reshape(-1)])
    torch.testing.assert_close(PackedEmbedding(matrix, scale=8.0, dtype=torch.float32)(ids), plain[ids] * 8)


def test_the_heads_expectation_is_the_gradient_of_the_log_of_the_whole(matrix):
    plain = matrix.rows(0, matrix.shape[0])
    states = 3 * torch.randn(4, matrix.shape[1], generator=torch.Generator().manual_seed(5))
    log_total, mean_row = head_expect(matrix, states)
    wanted = states.clone().requires_grad_()
    expected = functional.linear(wanted, plain).logsumexp(dim=-1)
    (gradient,) = torch.autograd.grad(expected.sum(), wanted)
    torch.testing.assert_close(log_total, expected.detach())
    torch.testing.assert_close(mean_row, gradient)

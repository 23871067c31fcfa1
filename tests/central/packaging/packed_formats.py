"""A plain reading of how GPTQ and AWQ checkpoints pack integers, number by number, for tests to compare with."""

import numpy as np


def matrix_random(*, bits, inputs, group, outputs=24, seed=0, is_symmetric=False):
    """Return codes (in, out), zero points and scales (groups, out); zero points from 1 on, as quantisers make them."""
    rng = np.random.default_rng(seed)
    groups = inputs // group
    codes = rng.integers(0, 1 << bits, (inputs, outputs))
    zeros = rng.integers(1, 1 << bits, (groups, outputs))
    if is_symmetric:
        zeros[:] = 1 << (bits - 1)
    return codes, zeros, rng.normal(0, 0.02, (groups, outputs)).astype(np.float16)


def plain_values(codes, zeros, scales, group_of):
    """Weight by weight, (out, in)."""
    values = np.empty(codes.shape[::-1], np.float32)
    for i, o in np.ndindex(codes.shape):
        values[o, i] = np.float32(int(codes[i, o]) - int(zeros[group_of[i], o])) * np.float32(scales[group_of[i], o])
    return values


def words_along_rows(numbers, bits):
    """Pack neighbours within a row into 32-bit words, the first in the lowest bits."""
    count = 32 // bits
    words = np.zeros((numbers.shape[0], numbers.shape[1] // count), np.int64)
    for row, column in np.ndindex(numbers.shape):
        words[row, column // count] |= int(numbers[row, column]) << (column % count * bits)
    return words.astype(np.uint32).view(np.int32)


def gptq_parts(codes, zeros, scales, *, bits, is_v2=False, group_of=None):
    qweight = np.ascontiguousarray(words_along_rows(codes.T, bits).T)
    parts = {"qweight": qweight, "qzeros": words_along_rows(zeros - (0 if is_v2 else 1), bits), "scales": scales}
    return parts | ({} if group_of is None else {"g_idx": group_of.astype(np.int32)})


def compressed_parts(codes, scales, *, bits, group_of=None):
    """Symmetric codes by output; the format calls the middle of the codes 0."""
    parts = {
        "weight_packed": words_along_rows(codes.T, bits),
        "weight_scale": np.ascontiguousarray(scales.T),
        "weight_shape": np.array(codes.shape[::-1]),
    }
    return parts | ({} if group_of is None else {"weight_g_idx": group_of.astype(np.int32)})


def awq_parts(codes, zeros, scales):
    """Words of eight outputs, those of even place before those of odd place."""
    shuffled = [8 * word + place for word in range(codes.shape[1] // 8) for place in (0, 2, 4, 6, 1, 3, 5, 7)]
    return {
        "qweight": words_along_rows(codes[:, shuffled], 4),
        "qzeros": words_along_rows(zeros[:, shuffled], 4),
        "scales": scales,
    }

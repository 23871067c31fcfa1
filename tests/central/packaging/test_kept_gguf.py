"""The integers of a GGUF matrix are taken as they are, or not at all."""

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFWriter, dequantize, quantize

from central.releases.packaging.errors import CheckpointIncomplete, UnsupportedArchitecture
from central.releases.packaging.gguf_blocks import gguf_blocks
from central.releases.packaging.gguf_weights import gguf_names_check, gguf_weights

Kind = GGMLQuantizationType
ALWAYS = {Kind.Q4_0: (4, 32), Kind.Q5_0: (8, 32), Kind.Q8_0: (8, 32), Kind.Q6_K: (8, 16)}
OFFSET = {Kind.Q4_1: (0, 2), Kind.Q5_1: (0, 2), Kind.Q4_K: (0, 2), Kind.Q5_K: (0, 2)}
ROWS, COLUMNS = 7, 768


def blocks_random(kind, seed=0):
    """Return (rows, super-blocks, bytes) of random bytes."""
    block, size = GGML_QUANT_SIZES[kind]
    return np.random.default_rng(seed).integers(0, 256, (ROWS, COLUMNS // block, size), dtype=np.uint8)


def put(raw, place, value):
    raw[..., place : place + 2] = np.full((*raw.shape[:2], 1), value, np.float16).view(np.uint8)


def six_bits(scales, minima):
    """Pack eight scales and eight minima below 64 into the 12 bytes of a K type's super-block."""
    low, high = slice(0, 4), slice(4, 8)
    first = scales[..., low] | scales[..., high] >> 4 << 6
    second = minima[..., low] | minima[..., high] >> 4 << 6
    third = scales[..., high] & 15 | (minima[..., high] & 15) << 4
    return np.concatenate([first, second, third], axis=-1)


@pytest.mark.parametrize("kind", ALWAYS)
def test_types_without_an_offset_are_held_bit_for_bit(kind):
    raw = blocks_random(kind)
    scales = np.random.default_rng(1).normal(0, 0.05, (*raw.shape[:2], 1)).astype(np.float16).view(np.uint8)
    place = 208 if kind == Kind.Q6_K else 0
    raw[..., place : place + 2] = scales
    data = raw.reshape(ROWS, -1)
    kept = gguf_blocks(data, kind)
    assert (kept.bits, kept.block) == ALWAYS[kind]
    assert kept.shape == (ROWS, COLUMNS)
    np.testing.assert_array_equal(kept.dequantise(), dequantize(data, kind))


@pytest.mark.parametrize("kind", OFFSET)
def test_an_offset_of_whole_scales_becomes_a_zero_point(kind):
    raw = blocks_random(kind)
    is_k = kind in (Kind.Q4_K, Kind.Q5_K)
    put(raw, 0, 0.25)
    # w = d*q + m: minus three steps. In the K types w = d*sc*q - dmin*m, each minimum three times its scale.
    put(raw, 2, 0.25 if is_k else -0.75)
    if is_k:
        scales = np.random.default_rng(2).integers(1, 22, (*raw.shape[:2], 8), dtype=np.uint8)
        raw[..., 4:16] = six_bits(scales, 3 * scales)
    data = raw.reshape(ROWS, -1)
    kept = gguf_blocks(data, kind)
    assert (kept.bits, kept.block) == (8 if kind in (Kind.Q5_1, Kind.Q5_K) else 4, 32)
    assert set(kept.zeros.flatten()) == {3}
    np.testing.assert_array_equal(kept.dequantise(), dequantize(data, kind))


@pytest.mark.parametrize("kind", OFFSET)
def test_an_offset_between_two_scales_is_not_rounded(kind):
    raw = blocks_random(kind)
    put(raw, 0, 0.25)
    put(raw, 2, 0.3)
    assert gguf_blocks(raw.reshape(ROWS, -1), kind) is None


def test_one_block_that_does_not_fit_leaves_the_whole_matrix_as_floats():
    raw = blocks_random(Kind.Q4_1)
    put(raw, 0, 0.5)
    put(raw, 2, -1.0)
    assert gguf_blocks(raw.reshape(ROWS, -1), Kind.Q4_1) is not None
    raw[3, 5, 2:4] = np.array([-1.25], np.float16).view(np.uint8)
    assert gguf_blocks(raw.reshape(ROWS, -1), Kind.Q4_1) is None


def test_a_zero_point_beyond_a_byte_is_not_held():
    raw = blocks_random(Kind.Q4_1)
    put(raw, 0, 0.5)
    put(raw, 2, -128.0)
    assert gguf_blocks(raw.reshape(ROWS, -1), Kind.Q4_1) is None


def test_a_type_of_floats_has_no_integers():
    values = np.ones((ROWS, COLUMNS), np.float32)
    assert gguf_blocks(quantize(values, Kind.F16).view(np.uint8), Kind.F16) is None


def gguf_of(path, name, kind):
    """Return a reader of a file with the one tensor `name`, zeros of the type `kind`."""
    block, size = GGML_QUANT_SIZES[kind]
    writer = GGUFWriter(path, "gemma3")
    writer.add_tensor(name, np.zeros((2, 64 // block * size), np.uint8), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return GGUFReader(path)


def test_a_type_that_cannot_be_read_is_refused_by_name(tmp_path):
    reader = gguf_of(tmp_path / "odd.gguf", "blk.0.attn_q.weight", Kind.Q8_1)
    with pytest.raises(UnsupportedArchitecture) as caught:
        list(gguf_weights(reader, source=tmp_path / "odd.gguf", progress=lambda part: None))
    assert caught.value.fields["architecture"] == "with Q8_1 weights"


@pytest.mark.parametrize("name", ["blk.0.attn_q.weight", "blk.0.ffn_gate_inp.weight", "rope_freqs.weight"])
def test_a_file_without_the_tensors_of_the_model_is_refused_whatever_it_holds_instead(tmp_path, name):
    reader = gguf_of(tmp_path / "odd.gguf", name, Kind.Q8_0)
    with pytest.raises(CheckpointIncomplete) as caught:
        gguf_names_check(reader, {"num_hidden_layers": 1, "tie_word_embeddings": True}, source=tmp_path / "odd.gguf")
    assert caught.value.fields["missing"] == "model.embed_tokens.weight"

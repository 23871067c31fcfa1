"""The integers of GPTQ, AWQ and compressed-tensors matrices, packed here by a plain reading of the formats."""

import numpy as np
import pytest

from central.releases.packaging.block_weights import BlockWeights
from central.releases.packaging.errors import UnsupportedArchitecture
from central.releases.packaging.packed_linear import PackedFormat, Packing, packed_read, packing_read
from tests.central.packaging.packed_formats import awq_parts, compressed_parts, gptq_parts, matrix_random, plain_values

OUTPUTS = 24


def compressed(**weights):
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups}


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("is_v2", [False, True])
@pytest.mark.parametrize(("inputs", "group", "block"), [(192, 32, 32), (192, 64, 64), (256, 128, 128), (640, 640, 128)])
def test_gptq_integers_are_kept(bits, is_v2, inputs, group, block):
    codes, zeros, scales = matrix_random(bits=bits, inputs=inputs, group=group)
    group_of = np.arange(inputs) // group
    parts = gptq_parts(codes, zeros, scales, bits=bits, is_v2=is_v2, group_of=group_of)
    kept = packed_read(parts, Packing(layout=PackedFormat.GPTQ_V2 if is_v2 else PackedFormat.GPTQ, bits=bits))
    assert isinstance(kept, BlockWeights)
    assert (kept.bits, kept.block) == (bits, block)
    np.testing.assert_array_equal(kept.codes.reshape(OUTPUTS, inputs), codes.T)
    np.testing.assert_array_equal(kept.dequantise(), plain_values(codes, zeros, scales, group_of))


def test_zero_points_of_0_survive_the_first_gptq_format():
    codes, zeros, scales = matrix_random(bits=4, inputs=64, group=32)
    zeros[:, ::3] = 0
    parts = gptq_parts(codes, zeros, scales, bits=4, is_v2=True)
    # A converter takes 1 from every zero point of a word at once, so that a 0 borrows from its neighbour.
    parts["qzeros"] = (parts["qzeros"].view(np.uint32) - np.uint32(0x11111111)).view(np.int32)
    kept = packed_read(parts, Packing(layout=PackedFormat.GPTQ, bits=4))
    np.testing.assert_array_equal(kept.zeros, zeros.T)


def test_symmetric_gptq_needs_no_zero_points():
    codes, zeros, scales = matrix_random(bits=4, inputs=128, group=64, is_symmetric=True)
    kept = packed_read(gptq_parts(codes, zeros, scales, bits=4), Packing(layout=PackedFormat.GPTQ, bits=4))
    assert kept.zero_points is None


def test_groups_in_order_of_activation_become_floats():
    codes, zeros, scales = matrix_random(bits=4, inputs=128, group=32)
    group_of = np.random.default_rng(3).permutation(np.arange(128) // 32)
    parts = gptq_parts(codes, zeros, scales, bits=4, group_of=group_of)
    values = packed_read(parts, Packing(layout=PackedFormat.GPTQ, bits=4))
    assert not isinstance(values, BlockWeights)
    np.testing.assert_array_equal(values, plain_values(codes, zeros, scales, group_of))


def test_groups_that_no_block_divides_become_floats():
    codes, zeros, scales = matrix_random(bits=4, inputs=120, group=40)
    values = packed_read(gptq_parts(codes, zeros, scales, bits=4), Packing(layout=PackedFormat.GPTQ, bits=4))
    np.testing.assert_array_equal(values, plain_values(codes, zeros, scales, np.arange(120) // 40))


@pytest.mark.parametrize(("inputs", "group"), [(96, 32), (256, 128)])
def test_awq_integers_are_kept(inputs, group):
    codes, zeros, scales = matrix_random(bits=4, inputs=inputs, group=group)
    kept = packed_read(awq_parts(codes, zeros, scales), Packing(layout=PackedFormat.AWQ, bits=4))
    assert (kept.bits, kept.block) == (4, group)
    np.testing.assert_array_equal(kept.codes.reshape(OUTPUTS, inputs), codes.T)
    np.testing.assert_array_equal(kept.dequantise(), plain_values(codes, zeros, scales, np.arange(inputs) // group))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group_of", [None, np.full(256, -1), np.arange(256) // 64])
def test_compressed_tensors_integers_are_kept(bits, group_of):
    codes, zeros, scales = matrix_random(bits=bits, inputs=256, group=64, is_symmetric=True)
    parts = compressed_parts(codes, scales, bits=bits, group_of=group_of)
    kept = packed_read(parts, Packing(layout=PackedFormat.COMPRESSED, bits=bits))
    assert (kept.bits, kept.block, kept.zero_points) == (bits, 64, None)
    np.testing.assert_array_equal(kept.dequantise(), plain_values(codes, zeros, scales, np.arange(256) // 64))


def test_compressed_tensors_groups_in_order_of_activation_become_floats():
    codes, zeros, scales = matrix_random(bits=4, inputs=128, group=32, is_symmetric=True)
    group_of = np.random.default_rng(3).permutation(np.arange(128) // 32)
    parts = compressed_parts(codes, scales, bits=4, group_of=group_of)
    values = packed_read(parts, Packing(layout=PackedFormat.COMPRESSED, bits=4))
    np.testing.assert_array_equal(values, plain_values(codes, zeros, scales, group_of))
    with pytest.raises(ValueError, match="do not fit"):
        packed_read(parts | {"weight_shape": np.array([24, 120])}, Packing(layout=PackedFormat.COMPRESSED, bits=4))


def test_parts_that_do_not_fit_one_another_are_refused():
    codes, zeros, scales = matrix_random(bits=4, inputs=128, group=32)
    packing = Packing(layout=PackedFormat.GPTQ, bits=4)
    parts = gptq_parts(codes, zeros, scales, bits=4)
    with pytest.raises(ValueError, match="do not fit"):
        packed_read(parts | {"scales": scales[:3]}, packing)
    with pytest.raises(ValueError, match="not among 4"):
        packed_read(parts | {"g_idx": np.full(128, 4, np.int32)}, packing)
    with pytest.raises(KeyError):
        packed_read({"qweight": parts["qweight"], "scales": scales}, packing)


@pytest.mark.parametrize(
    ("settings", "packing"),
    [
        ({"quant_method": "gptq", "bits": 4}, Packing(PackedFormat.GPTQ, 4)),
        ({"quant_method": "gptq", "bits": 8, "checkpoint_format": "gptq_v2"}, Packing(PackedFormat.GPTQ_V2, 8)),
        ({"quant_method": "awq", "bits": 4, "version": "GEMM", "zero_point": True}, Packing(PackedFormat.AWQ, 4)),
        ({"quant_method": "awq", "w_bit": 4}, Packing(PackedFormat.AWQ, 4)),
        (compressed(num_bits=4, type="int", symmetric=True), Packing(PackedFormat.COMPRESSED, 4)),
    ],
)
def test_the_settings_say_how_integers_are_packed(settings, packing):
    assert packing_read(settings, source="here") == packing


@pytest.mark.parametrize(
    "settings",
    [
        {"quant_method": "gptq", "bits": 3},
        {"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"},
        {"quant_method": "gptq", "bits": 4, "pack_dtype": "int16"},
        {"quant_method": "awq", "bits": 8},
        {"quant_method": "awq", "bits": 4, "version": "gemv"},
        {"quant_method": "awq", "bits": 4, "zero_point": False},
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"quant_method": "fp8"},
        compressed(num_bits=4, type="int", symmetric=False),
        compressed(num_bits=8, type="float", symmetric=True),
        compressed(num_bits=4, type="int", symmetric=True) | {"format": "marlin-24"},
        {"quant_method": "compressed-tensors", "format": "pack-quantized"},
        {},
    ],
)
def test_other_ways_to_quantise_are_refused_by_name(settings):
    with pytest.raises(UnsupportedArchitecture) as caught:
        packing_read(settings, source="here")
    assert str(settings.get("quant_method")) in caught.value.fields["architecture"]

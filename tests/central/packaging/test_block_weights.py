"""Integer matrices are restated exactly or not at all, and lie in memory as the engine reads them."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from central.releases.packaging.block_weights import BLOCKS, BlockWeights, concatenate


def weights_random(*, bits, block, blocks, outputs, has_zeros, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << bits, (outputs, blocks, block), dtype=np.uint8)
    scales = rng.normal(0, 0.05, (outputs, blocks)).astype(np.float32)
    zeros = rng.integers(0, 1 << bits, (outputs, blocks), dtype=np.uint8) if has_zeros else None
    return BlockWeights(bits=bits, block=block, codes=codes, scales=scales, zero_points=zeros)


@st.composite
def weights(draw, *, inputs=None):
    block = draw(st.sampled_from(BLOCKS))
    return weights_random(
        bits=draw(st.sampled_from([4, 8])),
        block=block,
        blocks=draw(st.integers(1, 3)) if inputs is None else inputs // block,
        outputs=draw(st.integers(1, 5)),
        has_zeros=draw(st.booleans()),
        seed=draw(st.integers(0, 2**16)),
    )


def bytes_of(values):
    return np.ascontiguousarray(values).view(np.uint32).tolist()


@given(weights())
def test_every_weight_is_the_scale_times_code_less_zero_point(given_weights):
    plain = np.empty(given_weights.shape, np.float32)
    for row, column in np.ndindex(plain.shape):
        place, inside = divmod(column, given_weights.block)
        zero = 1 << (given_weights.bits - 1)
        if given_weights.zero_points is not None:
            zero = int(given_weights.zero_points[row, place])
        step = int(given_weights.codes[row, place, inside]) - zero
        plain[row, column] = given_weights.scales[row, place] * np.float32(step)
    assert bytes_of(given_weights.dequantise()) == bytes_of(plain)


@given(weights(), st.sampled_from(BLOCKS))
def test_widening_keeps_every_weight_bit_for_bit(given_weights, block):
    wider = given_weights.widen(bits=8, block=min(block, given_weights.block))
    assert (wider.bits, wider.block) == (8, min(block, given_weights.block))
    assert bytes_of(wider.dequantise()) == bytes_of(given_weights.dequantise())


@given(weights(), st.sampled_from(BLOCKS))
def test_blocks_that_were_split_merge_again(given_weights, block):
    split = given_weights.widen(bits=given_weights.bits, block=min(block, given_weights.block))
    merged = split.widen(bits=given_weights.bits, block=given_weights.block)
    assert np.array_equal(merged.codes, given_weights.codes)
    assert np.array_equal(merged.scales, given_weights.scales)
    assert np.array_equal(merged.zeros, given_weights.zeros)


@given(weights())
def test_packing_and_unpacking_is_the_identity(given_weights):
    codes, zeros = given_weights.packed()
    again = BlockWeights.unpack(
        bits=given_weights.bits,
        block=given_weights.block,
        codes=codes,
        scales=given_weights.scales,
        zero_points=zeros,
    )
    assert np.array_equal(again.codes, given_weights.codes)
    assert np.array_equal(again.zeros, given_weights.zeros)
    assert (again.zero_points is None) == (given_weights.zero_points is None)


@given(st.lists(weights(inputs=256), min_size=1, max_size=4))
def test_matrices_of_any_form_stand_above_one_another_bit_for_bit(parts):
    whole = concatenate(parts)
    expected = np.concatenate([part.dequantise() for part in parts])
    assert bytes_of(whole.dequantise()) == bytes_of(expected)
    assert whole.block == min(part.block for part in parts)


def test_what_cannot_be_held_exactly_is_refused():
    whole = weights_random(bits=8, block=32, blocks=2, outputs=3, has_zeros=True, seed=1)
    with pytest.raises(ValueError, match="cannot become blocks of 64"):
        whole.widen(block=64)
    with pytest.raises(ValueError, match="do not divide"):
        whole.widen(block=128)
    with pytest.raises(ValueError, match="8 bits cannot become 4"):
        whole.widen(bits=4)


def test_arrays_that_do_not_fit_one_another_are_refused():
    codes, scales = np.zeros((2, 3, 32), np.uint8), np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="5 bits"):
        BlockWeights(bits=5, block=32, codes=codes, scales=scales)
    with pytest.raises(ValueError, match="differ"):
        BlockWeights(bits=4, block=32, codes=codes, scales=scales[:1])
    with pytest.raises(ValueError, match="float32"):
        BlockWeights(bits=4, block=32, codes=codes, scales=scales.astype(np.float16))


def engine_product(given_weights, inputs):
    """Return what ONNX Runtime's MatMulNBits makes of `inputs` (n, in), in float32."""
    outputs, columns = given_weights.shape
    codes, zeros = given_weights.packed()
    arrays = {"B": codes, "scales": given_weights.scales} | ({} if zeros is None else {"zeros": zeros})
    node = helper.make_node(
        "MatMulNBits",
        ["A", *arrays],
        ["Y"],
        domain="com.microsoft",
        K=columns,
        N=outputs,
        bits=given_weights.bits,
        block_size=given_weights.block,
        accuracy_level=1,
    )
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("A", TensorProto.FLOAT, ["n", columns])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(values, name) for name, values in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"A": inputs})[0]


@settings(max_examples=60, deadline=None)
@given(
    bits=st.sampled_from([4, 8]),
    block=st.sampled_from(BLOCKS),
    blocks=st.integers(1, 5),
    outputs=st.sampled_from([1, 5, 16, 33]),
    has_zeros=st.booleans(),
    rows=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
def test_the_engine_multiplies_by_the_same_weights(bits, block, blocks, outputs, has_zeros, rows, seed):
    given_weights = weights_random(
        bits=bits, block=block, blocks=blocks, outputs=outputs, has_zeros=has_zeros, seed=seed
    )
    inputs = np.random.default_rng(seed + 1).normal(size=(rows, given_weights.shape[1])).astype(np.float32)
    expected = inputs.astype(np.float64) @ given_weights.dequantise().T.astype(np.float64)
    # The engine adds up in float32; a wrong code or zero point anywhere is a hundred times this.
    size = np.abs(inputs).astype(np.float64) @ np.abs(given_weights.dequantise()).T
    assert (np.abs(engine_product(given_weights, inputs) - expected) <= 1e-5 * size + 1e-6).all()

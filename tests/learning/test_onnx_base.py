"""The base that training reads out of a package is the base that the package serves."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import Gemma3ForCausalLM

from central.releases.packaging import graph_floats
from central.releases.packaging.float_weights import e4m3_round, float16_round
from central.releases.packaging.quantise import WordOrder, nearest
from central.releases.recipe import EXPORTERS
from federation.errors import CapacityError
from federation.learning import answers
from federation.learning.adapted_model import adapter_attach
from federation.learning.answers import answer_states
from federation.learning.chat import Conversation
from federation.learning.onnx_base import onnx_base_load
from federation.learning.packed import BlockMatrix, PackedMatrix, codes_unpack
from tests.learning.tiny_package import tiny_package
from tests.tiny_checkpoint import CONTROLS

IDS = [2, 4, 17, 60, 9, 101, 33, 5, 200, 77, 41, 6, 250, 19, 88, 140]


@pytest.fixture(scope="module", params=EXPORTERS)
def package(request, tmp_path_factory) -> Path:
    return tiny_package(tmp_path_factory.mktemp("tiny"), exporter=request.param)


def served_logits(folder: Path, ids: list[int], *, accuracy_level: int, scratch: Path) -> np.ndarray:
    """The serving graph's logits after `ids`; with accuracy level 1 its activations stay float32."""
    graph = onnx.load(folder / "model.onnx", load_external_data=False)
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = accuracy_level
    onnx.save(graph, scratch / "model.onnx")
    shutil.copyfile(folder / "model.onnx.data", scratch / "model.onnx.data")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(scratch / "model.onnx", options)
    feeds = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
    feeds["score.targets"] = np.zeros((1, 0), np.int64)
    for slot in session.get_inputs():
        if slot.name.startswith("past_key_values"):
            feeds[slot.name] = np.zeros((1, 1, 0, 16), np.float32)
    return session.run(["logits"], feeds)[0].reshape(-1)


def learnt_logits(folder: Path, ids: list[int], dtype: torch.dtype = torch.float32) -> np.ndarray:
    model = onnx_base_load(folder, dtype=dtype)
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0, -1].float().numpy()


def test_the_loaded_base_has_the_serving_graphs_logits(package, tmp_path):
    """Past the sliding window too, so that masks, both rotary tables and every weight are in play."""
    exact = served_logits(package, IDS, accuracy_level=1, scratch=tmp_path)
    np.testing.assert_allclose(learnt_logits(package, IDS), exact, atol=1e-4)
    # The shipped graph rounds activations to 8 bits as well.
    shipped = served_logits(package, IDS, accuracy_level=4, scratch=tmp_path)
    np.testing.assert_allclose(learnt_logits(package, IDS), shipped, atol=0.1)


def dense(matrix: PackedMatrix) -> torch.Tensor:
    return matrix.rows(0, matrix.shape[0])


def test_the_loaded_base_differs_from_the_checkpoint_by_the_rounding_alone(package):
    checkpoint = Gemma3ForCausalLM.from_pretrained(package.parent / "checkpoint")
    loaded = onnx_base_load(package, dtype=torch.float32)
    for name, module in checkpoint.named_modules():
        if getattr(module, "weight", None) is None:
            continue
        weight = module.weight.detach()
        ours = loaded.get_submodule(name)
        found = dense(ours.matrix) if hasattr(ours, "matrix") else ours.weight
        # Half a step of 8 bits in blocks of 32 is at most 1/254 of the largest weight.
        torch.testing.assert_close(found, weight, rtol=0, atol=float(weight.abs().max()) / 254 + 1e-6)
        assert "norm" in name or hasattr(ours, "matrix"), name


def test_head_and_embedding_are_one_matrix_where_the_package_keeps_one(package):
    model = onnx_base_load(package, dtype=torch.bfloat16)
    assert model.lm_head.matrix is model.model.embed_tokens.matrix
    assert model.model.embed_tokens(torch.tensor([[3]])).dtype == torch.bfloat16
    assert not any(weight.requires_grad for weight in model.parameters())


def test_the_matrices_stay_in_the_packages_file(package):
    model = onnx_base_load(package, dtype=torch.float32)
    mapped = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "model.onnx.data" in line]
    spans = [[int(end, 16) for end in words[0].split("-")] for words in mapped if words[-1].startswith(str(package))]
    for matrix in (model.lm_head.matrix, model.model.layers[0].mlp.down_proj.matrix):
        assert any(start <= matrix.codes.data_ptr() < stop for start, stop in spans)
    assert sum(weight.numel() for weight in model.parameters()) < 1000


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zero_points", ["absent", "packed", "plain"])
def test_blocks_become_numbers_as_the_operator_defines(bits, zero_points):
    rng = np.random.default_rng(bits)
    rows, blocks, block = 3, 4, 32
    codes = rng.integers(0, 2**bits, (rows, blocks, block)).astype(np.uint8)
    scales = rng.normal(0, 0.1, (rows, blocks)).astype(np.float32)
    zeros = rng.integers(0, 2**bits, (rows, blocks)).astype(np.uint8)
    given = {"absent": None, "packed": torch.from_numpy(zeros), "plain": torch.from_numpy(zeros).float()}[zero_points]
    packed = codes if bits == 8 else codes[..., ::2] | (codes[..., 1::2] << 4)
    if bits == 4 and zero_points == "packed":
        given = codes_unpack(torch.from_numpy(zeros[:, ::2] | (zeros[:, 1::2] << 4)), bits)
    expected = np.empty((rows, blocks * block), np.float32)
    for row, i in np.ndindex(rows, blocks * block):
        zero = 2 ** (bits - 1) if zero_points == "absent" else int(zeros[row, i // block])
        expected[row, i] = (int(codes[row, i // block, i % block]) - zero) * scales[row, i // block]
    matrix = BlockMatrix(torch.from_numpy(packed.reshape(rows, -1)), torch.from_numpy(scales), given, bits)
    assert matrix.shape == expected.shape
    np.testing.assert_array_equal(dense(matrix), expected)
    np.testing.assert_array_equal(matrix.pick(torch.tensor([2, 0])), expected[[2, 0]])


def test_a_package_without_a_readable_graph_is_refused(package, tmp_path):
    with pytest.raises(CapacityError, match="base_unreadable"):
        onnx_base_load(tmp_path, dtype=torch.float32)
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(CapacityError, match="base_unreadable"):
        onnx_base_load(tmp_path, dtype=torch.float32)
    shutil.copyfile(package / "model.onnx", tmp_path / "model.onnx")
    whole = (package / "model.onnx.data").read_bytes()
    (tmp_path / "model.onnx.data").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CapacityError, match="base_unreadable"):
        onnx_base_load(tmp_path, dtype=torch.float32)


def test_a_head_in_two_parts_is_read_as_one(tmp_path):
    def mixed(part, matrix):
        return nearest(bits=4 if part == "head.rare" else 8, block=32)(part, matrix)

    words = WordOrder(old_ids=np.random.default_rng(2).permutation(len(CONTROLS) + 256), common=100)
    package = tiny_package(tmp_path, rounder=mixed, words=words)
    exact = served_logits(package, IDS, accuracy_level=1, scratch=tmp_path)
    np.testing.assert_allclose(learnt_logits(package, IDS), exact, atol=1e-4)
    model = onnx_base_load(package, dtype=torch.float32)
    assert model.lm_head.matrix is model.model.embed_tokens.matrix


@pytest.mark.parametrize("form", [float16_round, e4m3_round])
def test_a_base_of_small_floats_is_read_as_it_is_served(tmp_path, monkeypatch, form):
    # The head of a real vocabulary has several pieces; this one is smaller than one.
    monkeypatch.setattr(graph_floats, "WORDS_AT_ONCE", 100)
    package = tiny_package(tmp_path, floats=lambda _part, matrix: form(matrix))
    exact = served_logits(package, IDS, accuracy_level=1, scratch=tmp_path)
    np.testing.assert_allclose(learnt_logits(package, IDS), exact, atol=1e-4)
    checkpoint = Gemma3ForCausalLM.from_pretrained(tmp_path / "checkpoint")
    model = onnx_base_load(package, dtype=torch.float32)
    assert model.lm_head.matrix is model.model.embed_tokens.matrix
    gate = checkpoint.model.layers[1].mlp.gate_proj.weight.detach()
    expected = torch.from_numpy(form(gate.numpy()).dequantise())
    torch.testing.assert_close(dense(model.model.layers[1].mlp.gate_proj.matrix), expected, rtol=0, atol=0)


def test_a_matrix_that_is_made_in_an_unknown_way_is_refused(tmp_path):
    package = tiny_package(tmp_path, floats=lambda _part, matrix: e4m3_round(matrix))
    model = onnx.load(package / "model.onnx", load_external_data=False)
    next(node for node in model.graph.node if node.op_type == "DequantizeLinear").op_type = "Identity"
    onnx.save(model, package / "model.onnx")
    with pytest.raises(CapacityError, match="base_unreadable"):
        onnx_base_load(package, dtype=torch.float32)


@pytest.mark.parametrize("batch_tokens", [512, 8])
def test_a_batch_too_large_to_keep_its_activations_has_the_same_gradient(package, monkeypatch, batch_tokens):
    def gradient():
        model = onnx_base_load(package, dtype=torch.float32)
        adapters = adapter_attach(model, seed="s", rank=2, slots=["layers.0.qkv", "layers.1.down"])
        kept = []
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda each: kept.append(each.numel()) or each, lambda each: each
        )
        with hooks:
            states = answer_states(model, [Conversation(tuple(IDS), 6)])
        torch.autograd.backward(states, [torch.ones_like(states[0])])
        return [adapter.deltas["b"].grad for adapter in adapters.values()], sum(kept)

    whole, most = gradient()
    monkeypatch.setattr(answers, "BATCH_TOKENS", batch_tokens)
    again, kept = gradient()
    for left, right in zip(whole, again, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)
        assert bool((left != 0).any())
    assert kept < most / 2 if batch_tokens < len(IDS) else kept == most

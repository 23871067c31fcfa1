"""Packages of small floats: the same engine, the same adapters, float32 sums."""

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoModelForCausalLM

from central.releases.packaging.float_weights import e4m3_round, float16_round
from central.releases.packaging.graph_rewrite import GRAPH
from central.releases.packaging.graph_weights import weight_read
from central.releases.packaging.parts import LAYER_PARTS
from federation.adapter_file import adapter_read, adapter_write
from federation.basis import frozen_a
from federation.inference.adapter import adapter_expand
from federation.inference.engine import Engine
from federation.inference.package import package_open
from tests.tiny_checkpoint import tiny_package

FORMS = {"fp16": float16_round, "fp8": e4m3_round}
IDS = [2, 300, 17, 60, 9, 101, 33, 5, 200, 77, 41, 6, 250, 19, 88, 140] * 5


@pytest.fixture(scope="module", params=FORMS)
def made(request, tmp_path_factory):
    """A folder with `checkpoint` and `package`, and torch's model with the very weights of the package."""
    folder, form = tmp_path_factory.mktemp(request.param), FORMS[request.param]
    tiny_package(folder, floats=lambda _part, matrix: form(matrix))
    model = AutoModelForCausalLM.from_pretrained(folder / "checkpoint", dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                own = float16_round if "embed" in name else form
                weight.copy_(torch.from_numpy(own(weight.numpy()).dequantise()))
    return folder, model


@pytest.fixture(scope="module")
def engine(made):
    return Engine.load(made[0] / "package", threads=1, rows=4)


def torch_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def test_the_engine_computes_in_float32_with_exactly_the_rounded_weights(made, engine):
    """Past the sliding window of 64 tokens too."""
    expected = torch_logits(made[1], IDS)[-20:]
    np.testing.assert_allclose(engine.logits(IDS, 20), expected, atol=1e-4 * np.abs(expected).max())


def test_answers_side_by_side_are_torchs_own(made, engine):
    generations = {engine.begin_ids([2, *IDS[start : start + 9]], max_new_tokens=6): start for start in (1, 2, 3)}
    answers = {start: [2, *IDS[start : start + 9]] for start in generations.values()}
    while not all(generation.is_over for generation in generations):
        for generation, token in engine.step():
            answers[generations[generation]].append(token)
    for ids in answers.values():
        assert len(ids) > 10
        likeliest = torch_logits(made[1], ids).argmax(axis=-1)
        assert ids[10:] == likeliest[9:-1].tolist()


@pytest.mark.parametrize("has_a", [False, True], ids=["seed's A", "own A"])
def test_an_adapter_adds_the_product_of_its_factors_and_goes_without_a_trace(made, engine, tmp_path, has_a):
    folder, model = made
    card = package_open(folder / "package")
    assert [slot.name for slot in card.slots] == [f"layers.{i}.{part}" for i in (0, 1) for part in LAYER_PARTS]
    slot = next(slot for slot in card.slots if slot.name == "layers.1.gate")
    b = {slot.name: np.random.default_rng(9).normal(0, 0.5, (4, slot.d_out)).astype(np.float32)}
    own = {slot.name: np.random.default_rng(8).normal(0, 0.5, (slot.d_in, 4)).astype(np.float32)} if has_a else None
    adapter_write(tmp_path / "adapter.bin", base_digest="b", seed="s", rank=4, b=b, a=own)
    adapter = adapter_read(tmp_path / "adapter.bin", base_digest="b")
    adapter_expand(adapter, card=card, into=tmp_path / "adapter.onnx_adapter")
    before = engine.logits(IDS, 20)
    engine.swap_adapter(tmp_path / "adapter.onnx_adapter")
    changed = engine.logits(IDS, 20)
    engine.swap_adapter(None)
    assert np.array_equal(engine.logits(IDS, 20), before)
    a = adapter.a[slot.name] if has_a else frozen_a(seed="s", slot=slot.name, d_in=slot.d_in, rank=4)
    weight = model.model.layers[1].mlp.gate_proj.weight
    with torch.no_grad():
        added = torch.from_numpy((a @ adapter.b[slot.name]).T)
        weight += added
        expected = torch_logits(model, IDS)[-20:]
        weight -= added
    np.testing.assert_allclose(changed, expected, atol=1e-4 * np.abs(expected).max())
    assert np.abs(changed - before).max() > 0.01 * np.abs(expected).max()


def test_every_matrix_is_small_and_the_embedding_and_the_head_share_their_bytes(made):
    package = made[0] / "package"
    graph = onnx.load(package / GRAPH, load_external_data=False).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    large = {t.name for t in graph.initializer if len(t.dims) == 2 and t.data_type == onnx.TensorProto.FLOAT}
    assert all(name.startswith(("lora.", "cos_cache", "sin_cache")) for name in large), large
    table, piece = tensors["embedding.table"], tensors["head.0"]
    assert {entry.key: entry.value for entry in table.external_data}["offset"] == (
        {entry.key: entry.value for entry in piece.external_data}["offset"]
    )
    assert np.array_equal(weight_read(table, folder=package), weight_read(piece, folder=package))

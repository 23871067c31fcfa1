import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import AutoModelForCausalLM

from central.releases.packaging.graph_rewrite import GRAPH
from central.releases.packaging.graph_weights import weight_read
from central.releases.packaging.parts import LAYER_PARTS, RARE_PART, part_sources
from central.releases.packaging.quantise import WordOrder, graph_quantise, nearest
from central.releases.packaging.slots import slots_add
from tests.tiny_checkpoint import tiny_tokenizer

EIGHT = nearest(bits=8, block=32)


def run(path, ids, **more):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
    for entry in session.get_inputs():
        if entry.name.startswith("past_key_values"):
            feed[entry.name] = np.zeros((1, entry.shape[1], 0, 32), np.float32)
    return session.run(None, feed | more)[0]


def test_empty_slots_leave_every_bit_of_the_logits(packaged, tmp_path):
    ids = tiny_tokenizer().encode("салом ҷаҳон, дӯст!").ids
    graph = graph_quantise(
        source=packaged / "exported",
        floats=packaged / "checkpoint",
        into=tmp_path,
        rounder=EIGHT,
        progress=lambda part: None,
    )
    onnx.save(graph, tmp_path / GRAPH)
    without = run(tmp_path / GRAPH, ids)
    slots = slots_add(graph)
    onnx.save(graph, tmp_path / GRAPH)
    assert np.array_equal(without, run(tmp_path / GRAPH, ids))
    assert [slot.name for slot in slots] == [f"layers.{i}.{part}" for i in (0, 1) for part in LAYER_PARTS]


def test_a_slot_adds_the_product_of_its_factors(packaged, tmp_path):
    ids = tiny_tokenizer().encode("салом ҷаҳон").ids
    graph = graph_quantise(
        source=packaged / "exported",
        floats=packaged / "checkpoint",
        into=tmp_path,
        rounder=EIGHT,
        progress=lambda part: None,
    )
    slots_add(graph)
    onnx.save(graph, tmp_path / GRAPH)
    draw = np.random.default_rng(3)
    a, b = draw.normal(0, 0.4, (64, 4)).astype(np.float32), draw.normal(0, 0.4, (4, 128)).astype(np.float32)
    adapted = run(tmp_path / GRAPH, ids, **{"lora.layers.1.gate.A": a, "lora.layers.1.gate.B": b})
    model = AutoModelForCausalLM.from_pretrained(packaged / "checkpoint", dtype=torch.float32)
    plain = model(torch.tensor([ids])).logits.detach().numpy()
    with torch.no_grad():
        model.model.layers[1].mlp.gate_proj.weight += torch.from_numpy((a @ b).T)
        expected = model(torch.tensor([ids])).logits.numpy()
    # 8-bit weights and activations move logits of this random model by some percent of their spread.
    error = np.abs(adapted - expected).mean()
    assert error < 0.05 * expected.std()
    assert np.abs(expected - plain).mean() > 4 * error


@pytest.mark.parametrize(("bits", "block"), [(8, 16), (8, 64), (4, 16), (4, 32), (4, 64)])
def test_the_graph_computes_with_exactly_the_rounded_weights(packaged, tmp_path, bits, block):
    ids = tiny_tokenizer().encode("салом ҷаҳон, дӯст!").ids
    rounder, rounded = nearest(bits=bits, block=block), {}

    def remember(part, matrix):
        rounded[part] = rounder(part, matrix)
        return rounded[part]

    graph = graph_quantise(
        source=packaged / "exported",
        floats=packaged / "checkpoint",
        into=tmp_path,
        rounder=remember,
        progress=lambda part: None,
    )
    onnx.save(graph, tmp_path / GRAPH)
    model = AutoModelForCausalLM.from_pretrained(packaged / "checkpoint", dtype=torch.float32)
    with torch.no_grad():
        for part, weights in rounded.items():
            sources, values = part_sources(part), torch.from_numpy(weights.dequantise())
            rows = [model.get_parameter(name).shape[0] for name in sources]
            for name, own in zip(sources, values.split(rows), strict=True):
                model.get_parameter(name).copy_(own)
        expected = model(torch.tensor([ids])).logits.numpy()
    # What is left is the rounding of activations to 8 bits.
    assert np.abs(run(tmp_path / GRAPH, ids) - expected).mean() < 0.05 * expected.std()


def test_the_embedding_and_the_head_share_their_bytes(packaged):
    graph = onnx.load(packaged / "package" / GRAPH, load_external_data=False).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    embedding = weight_read(tensors["embedding.codes"], folder=packaged / "package")
    head = weight_read(tensors["head.q8"], folder=packaged / "package")
    assert tensors["embedding.codes"].external_data == tensors["head.q8"].external_data
    assert np.array_equal(embedding.ravel(), head.ravel())


def test_rare_words_may_have_another_form_and_new_ids_and_the_graph_computes_the_same(packaged, tmp_path):
    ids = tiny_tokenizer().encode("салом ҷаҳон, дӯст!").ids
    draw = np.random.default_rng(4)
    rounded = {}

    def mixed(part, matrix):
        rounded[part] = nearest(bits=4 if part == RARE_PART else 8, block=32)(part, matrix)
        return rounded[part]

    size = tiny_tokenizer().get_vocab_size()
    words = WordOrder(old_ids=draw.permutation(size), common=200)
    graph = graph_quantise(
        source=packaged / "exported",
        floats=packaged / "checkpoint",
        into=tmp_path,
        rounder=mixed,
        progress=lambda part: None,
        words=words,
    )
    slots_add(graph)
    onnx.save(graph, tmp_path / GRAPH)
    new_ids = np.argsort(words.old_ids)
    got = run(tmp_path / GRAPH, new_ids[ids].tolist())
    assert [rounded[part].shape[0] for part in ("head", RARE_PART)] == [200, size - 200]
    model = AutoModelForCausalLM.from_pretrained(packaged / "checkpoint", dtype=torch.float32)
    table = np.concatenate([rounded["head"].dequantise(), rounded[RARE_PART].dequantise()])
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.from_numpy(table[new_ids]))
        expected = model(torch.tensor([ids])).logits.numpy()[..., words.old_ids]
    assert np.abs(got - expected).mean() < 0.05 * expected.std()

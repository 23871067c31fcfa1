import numpy as np
import onnx
import onnxruntime
import torch
from transformers import AutoModelForCausalLM

from central.releases.packaging.graph_weights import weight_read
from central.releases.packaging.quantise import BLOCK, GRAPH, blocks_quantise, graph_quantise
from central.releases.packaging.slots import PARTS, slots_add
from tests.tiny_checkpoint import tiny_tokenizer


def run(path, ids, **more):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
    for entry in session.get_inputs():
        if entry.name.startswith("past_key_values"):
            feed[entry.name] = np.zeros((1, entry.shape[1], 0, 32), np.float32)
    return session.run(None, feed | more)[0]


def test_empty_slots_leave_every_bit_of_the_logits(packaged, tmp_path):
    ids = tiny_tokenizer().encode("салом ҷаҳон, дӯст!").ids
    graph = graph_quantise(source=packaged / "exported", into=tmp_path, progress=lambda part: None)
    onnx.save(graph, tmp_path / GRAPH)
    without = run(tmp_path / GRAPH, ids)
    slots = slots_add(graph)
    onnx.save(graph, tmp_path / GRAPH)
    assert np.array_equal(without, run(tmp_path / GRAPH, ids))
    assert [slot.name for slot in slots] == [f"layers.{i}.{part}" for i in (0, 1) for part in PARTS]


def test_a_slot_adds_the_product_of_its_factors(packaged, tmp_path):
    ids = tiny_tokenizer().encode("салом ҷаҳон").ids
    graph = graph_quantise(source=packaged / "exported", into=tmp_path, progress=lambda part: None)
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


def test_eight_bits_are_within_half_a_step_and_keep_a_grid_that_is_already_there():
    draw = np.random.default_rng(1)
    matrix = draw.normal(0, 1, (4 * BLOCK, 7)).astype(np.float32)
    codes, scales = blocks_quantise(matrix)
    restored = ((codes.astype(np.float32) - 128) * scales[..., None]).reshape(7, -1).T
    steps = np.repeat(scales, BLOCK, axis=1).T
    assert np.all(np.abs(restored - matrix) <= steps * 0.5001)
    again, _ = blocks_quantise(restored.astype(np.float32))
    assert np.array_equal(again, codes)


def test_the_embedding_and_the_head_share_their_bytes(packaged):
    graph = onnx.load(packaged / "package" / GRAPH, load_external_data=False).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    embedding = weight_read(tensors["embedding.q8"], folder=packaged / "package")
    head = weight_read(tensors["lm_head.MatMul.weight.q8"], folder=packaged / "package")
    assert tensors["embedding.q8"].external_data == tensors["lm_head.MatMul.weight.q8"].external_data
    assert np.array_equal(embedding.ravel(), head.ravel())

"""The exported graph computes what PyTorch computes, with the positions of every kind of layer."""

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoModelForCausalLM

from central.releases.packaging.float_weights import float16_round
from central.releases.packaging.parts import part_of
from federation.inference.engine import Engine
from tests.tiny_checkpoint import CONTEXT_TOKENS, package_make, tiny_prepared

IDS = [2, 300, 17, 60, 9, 101, 33, 5, 200, 77, 41, 6, 250, 19, 88, 140] * 7


@pytest.mark.parametrize("scaling", [None, {"rope_type": "linear", "factor": 8.0}])
def test_layers_with_and_without_a_window_turn_by_their_own_frequencies(tmp_path, scaling):
    """From 4B on the positions of layers without a window are stretched, and those of the others are not."""
    checkpoint = tiny_prepared(
        tmp_path, layer_types=["sliding_attention", "full_attention"], rope_scaling=scaling, rope_theta=1_000_000.0
    )
    package = package_make(
        checkpoint, tmp_path, context_tokens=CONTEXT_TOKENS, floats=lambda _part, matrix: float16_round(matrix)
    )
    model = AutoModelForCausalLM.from_pretrained(checkpoint.folder, dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.copy_(torch.from_numpy(float16_round(weight.numpy()).dequantise()))
        expected = model(torch.tensor([IDS])).logits[0, -20:].numpy()
    found = Engine.load(package, threads=1).logits(IDS, 20)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_the_exported_graph_holds_no_matrix_and_names_them_all(packaged):
    graph = onnx.load(packaged / "exported" / "model.onnx", load_external_data=False).graph
    matrices = {node.input[1] for node in graph.node if part_of(node.name)}
    assert len(matrices) == 2 * 5 + 1
    assert matrices.isdisjoint(tensor.name for tensor in graph.initializer)
    checkpoint = sum(path.stat().st_size for path in (packaged / "checkpoint").glob("*.safetensors"))
    exported = sum(path.stat().st_size for path in (packaged / "exported").iterdir())
    assert exported < checkpoint

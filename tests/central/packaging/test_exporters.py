"""The graphs that schools run, whichever exporter made them, against PyTorch."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3ForCausalLM, Olmo2Config, Olmo2ForCausalLM

from central.releases.packaging.checkpoint_card import Checkpoint
from central.releases.packaging.errors import ExporterRefused, GraphUnexpected
from central.releases.packaging.export import graph_export
from central.releases.packaging.graph_rewrite import GRAPH
from central.releases.packaging.graph_weights import WeightFile
from central.releases.packaging.optimum_export import optimum_export
from central.releases.packaging.parts import HEAD_PART, LAYER_PARTS, part_of
from central.releases.packaging.scoring import scoring_add
from central.releases.packaging.serving_graph import serving_graph_write
from central.releases.packaging.stored_floats import StoredFloats
from central.releases.recipe import BUILDER, EXPORTERS, OPTIMUM
from federation.inference.batch import Batch
from federation.inference.graph_session import GraphSession
from tests.tiny_checkpoint import tiny_config, tiny_prepared, tiny_tokenizer

WORDS = 96
WINDOW = 8
# Of the logits' spread: sums of float32 in another order.
TOLERANCE = 2e-5


def named(folder, architecture):
    return Checkpoint(folder=folder, name="tiny", architecture=architecture, licence="none", digest="sha256:0")


def completed(exported, checkpoint):
    """Put the matrices into the float graph in `exported`, which only names them."""
    model, stored = onnx.load(exported / GRAPH, load_external_data=False), StoredFloats(checkpoint.folder)
    with WeightFile(exported / "matrices.data") as weights:
        for node in model.graph.node:
            if part := part_of(node.name):
                matrix = (
                    stored["lm_head.weight"].numpy()
                    if "lm_head.weight" in stored and part == HEAD_PART
                    else (stored.matrix(part))
                )
                model.graph.initializer.append(weights.put(node.input[1], matrix.T))
    onnx.save(model, exported / GRAPH)
    return model


def own_logits(folder, ids):
    session = onnxruntime.InferenceSession(folder / GRAPH, providers=["CPUExecutionProvider"])
    feed = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
    for entry in session.get_inputs():
        if entry.name.startswith("past_key_values"):
            feed[entry.name] = np.zeros((1, entry.shape[1], 0, 32), np.float32)
    return session.run(["logits"], feed)[0][0]


def torch_logits(folder, ids):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def gemma(folder):
    """A Gemma 3 whose sixth layer looks back to the beginning: the order that the builder takes every one to have."""
    torch.manual_seed(5)
    config = tiny_config(
        vocab_size=WORDS,
        width=64,
        sliding_window=WINDOW,
        layer_types=["sliding_attention"] * 5 + ["full_attention"],
        context_tokens=64,
        initializer_range=0.15,
    )
    Gemma3ForCausalLM(config).save_pretrained(folder)
    # The builder copies the tokenizer, and ends where it finds none.
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return named(folder, "gemma3_text")


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.filterwarnings("ignore")  # torch's exporter and optimum's warn of their own old calls.
def test_the_exported_graph_has_torchs_logits_within_the_window_and_past_it(tmp_path, exporter):
    checkpoint, exported = gemma(tmp_path / "checkpoint"), tmp_path / "exported"
    graph_export(checkpoint=checkpoint, into=exported, log=tmp_path / "log", context_tokens=64, exporter=exporter)
    graph = completed(exported, checkpoint).graph
    for length in (WINDOW - 1, 6 * WINDOW):
        ids = [2, *np.random.default_rng(4).integers(6, WORDS, length - 1).tolist()]
        expected = torch_logits(checkpoint.folder, ids)
        np.testing.assert_allclose(own_logits(exported, ids), expected, rtol=0, atol=TOLERANCE * expected.std())
    parts = [part for node in graph.node if (part := part_of(node.name))]
    assert parts == [f"layers.{layer}.{part}" for layer in range(6) for part in LAYER_PARTS] + ["head"]
    attention = [node for node in graph.node if node.op_type == "GroupQueryAttention"]
    windows = [a.i for node in attention for a in node.attribute if a.name == "local_window_size"]
    assert windows == [WINDOW] * 5 + [-1]


def olmo(folder):
    """A model that optimum knows and the builder does not: norms behind, over all heads at once, no shared words."""
    torch.manual_seed(6)
    config = Olmo2Config(
        vocab_size=WORDS,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        initializer_range=0.3,
        pad_token_id=0,
    )
    Olmo2ForCausalLM(config).save_pretrained(folder)
    return named(folder, "olmo2")


def test_what_the_builder_does_not_know_is_refused_with_the_name_of_the_other_exporter(tmp_path):
    checkpoint = olmo(tmp_path / "checkpoint")
    with pytest.raises(ExporterRefused) as caught:
        graph_export(checkpoint=checkpoint, into=tmp_path / "exported", log=tmp_path / "log", exporter=BUILDER)
    assert caught.value.fields["architecture"] == "Olmo2ForCausalLM"
    assert caught.value.fields["other"] == OPTIMUM
    assert not (tmp_path / "exported" / GRAPH).exists()


@pytest.mark.filterwarnings("ignore")
def test_what_only_optimum_knows_is_served_in_rows_of_different_lengths(tmp_path):
    checkpoint = olmo(tmp_path / "checkpoint")
    exported = tmp_path / "exported"
    graph_export(checkpoint=checkpoint, into=exported, log=tmp_path / "log", exporter=OPTIMUM)
    graph = completed(exported, checkpoint)
    scoring_add(graph)
    onnx.save(graph, exported / GRAPH)
    session = GraphSession(exported, rows=3, context_tokens=128, threads=1)
    batch = Batch(session, ends=frozenset(), memory_tokens=1000)
    draw = np.random.default_rng(1)
    prompts = [draw.integers(1, WORDS, length).tolist() for length in (3, 40, 17)]
    generations = [batch.open(prompt, max_new_tokens=8) for prompt in prompts]
    answers = {generation: [] for generation in generations}
    while not all(generation.is_over for generation in generations):
        for generation, token in batch.step():
            answers[generation].append(token)
    model = AutoModelForCausalLM.from_pretrained(checkpoint.folder, dtype=torch.float32)
    for prompt, generation in zip(prompts, generations, strict=True):
        expected = model.generate(torch.tensor([prompt]), max_new_tokens=8, min_new_tokens=8, do_sample=False)
        assert answers[generation] == expected[0, len(prompt) :].tolist()


@pytest.mark.filterwarnings("ignore")
def test_attention_that_is_not_the_operators_is_refused_and_nothing_is_left(tmp_path):
    plain, into = tmp_path / "plain", tmp_path / "into"
    checkpoint = tiny_prepared(tmp_path)
    optimum_export(checkpoint=checkpoint, into=plain, log=tmp_path / "log", has_positions=True)
    graph = onnx.load(plain / GRAPH)
    for kind, other in (("Greater", "GreaterOrEqual"), ("Softmax", "LogSoftmax")):
        changed = onnx.ModelProto()
        changed.CopyFrom(graph)
        next(node for node in changed.graph.node if node.op_type == kind).op_type = other
        onnx.save(changed, plain / GRAPH)
        with pytest.raises(GraphUnexpected):
            serving_graph_write(plain=plain, into=into)
        assert not into.exists()


@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_that_optimum_does_not_know_is_refused_with_the_name_of_the_other_exporter(tmp_path):
    checkpoint = tiny_prepared(tmp_path)
    config = json.loads((checkpoint.folder / "config.json").read_text())
    (checkpoint.folder / "config.json").write_text(json.dumps(config | {"model_type": "unheard_of"}))
    with pytest.raises(ExporterRefused) as caught:
        graph_export(checkpoint=checkpoint, into=tmp_path / "exported", log=tmp_path / "log", exporter=OPTIMUM)
    assert caught.value.fields["other"] == BUILDER
    assert not (tmp_path / "exported" / GRAPH).exists()

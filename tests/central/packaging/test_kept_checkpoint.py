"""A checkpoint that comes quantised is prepared as floats, with its own integers beside them."""

import json

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader, dequantize
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from central.releases.packaging.bit_plan import Choice
from central.releases.packaging.block_weights import BlockWeights, concatenate
from central.releases.packaging.checkpoint import checkpoint_open, checkpoint_prepare
from central.releases.packaging.checkpoint_card import checkpoint_record
from central.releases.packaging.checkpoint_weights import float_type, weights_write
from central.releases.packaging.errors import CheckpointIncomplete, CheckpointMissing, UnsupportedArchitecture
from central.releases.packaging.kept_weights import kept_open, kept_trim
from central.releases.packaging.mixed import MixedRounding
from central.releases.packaging.parts import HEAD_PART, part_sources, parts_all
from central.releases.packaging.quantise import nearest
from central.releases.packaging.stored_floats import StoredFloats
from central.releases.packaging.text_names import EMBEDDING
from tests.central.packaging.quantised_checkpoint import (
    NEW_NAMES,
    OLD_NAMES,
    make_multimodal,
    quantised_folder,
    settings_change,
    tensors_change,
    weights_of,
)
from tests.tiny_checkpoint import tiny_checkpoint, tiny_gguf

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "checkpoint_format": "gptq"}
COMPRESSED = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "symmetric": True, "group_size": 32}}},
}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}


def prepare(source, into):
    return checkpoint_prepare(source=source, into=into, progress=lambda step, part: None).folder


@pytest.mark.parametrize("settings", [GPTQ, GPTQ | {"bits": 8}, AWQ, COMPRESSED])
def test_packed_integers_become_floats_and_stay_beside_them(tmp_path, settings):
    source, expected = quantised_folder(tmp_path / "source", settings=settings)
    folder = prepare(source, tmp_path / "checkpoint")
    floats, kept = load_file(weights_of(folder)), kept_open(folder)
    assert kept.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(floats[name].numpy(), values)
        np.testing.assert_array_equal(kept[name].dequantise(), values)
        assert (kept[name].bits, kept[name].block) == (settings.get("bits", 4), 32)
    assert {tensor.dtype for tensor in floats.values()} == {torch.float32}
    config = json.loads((folder / "config.json").read_text())
    assert config["torch_dtype"] == "float32"
    assert "quantization_config" not in config


def test_a_matrix_with_groups_in_order_of_activation_is_kept_as_floats_only(tmp_path):
    source, expected = quantised_folder(tmp_path / "source", settings=GPTQ | {"desc_act": True}, shuffled=("down",))
    folder = prepare(source, tmp_path / "checkpoint")
    floats, kept = load_file(weights_of(folder)), kept_open(folder)
    assert {name for name in expected if name not in kept} == {name for name in expected if "down_proj" in name}
    for name, values in expected.items():
        np.testing.assert_array_equal(floats[name].numpy(), values)


@pytest.mark.parametrize("prefix", [OLD_NAMES, NEW_NAMES])
def test_the_text_half_of_a_multimodal_checkpoint_is_the_text_checkpoint(tmp_path, prefix):
    text = tiny_checkpoint(tmp_path / "text")
    tensors_change(text, lambda tensors: {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()})
    settings_change(text, dtype="bfloat16")
    expected = load_file(weights_of(text))
    folder = prepare(make_multimodal(text, prefix=prefix), tmp_path / "checkpoint")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert type(model).__name__ == "Gemma3ForCausalLM"
    assert model.config.eos_token_id == [1, 5]
    state = model.state_dict()
    assert state.keys() - {"lm_head.weight"} == expected.keys() - {"lm_head.weight"}
    for name, values in expected.items():
        assert torch.equal(state[name], values), name
    assert len(kept_open(folder)) == 0


@pytest.mark.parametrize("settings", [GPTQ, COMPRESSED])
def test_a_quantised_multimodal_checkpoint_loads_as_a_text_model_with_the_same_weights(tmp_path, settings):
    source, expected = quantised_folder(tmp_path / "source", settings=settings)
    folder = prepare(make_multimodal(source, prefix=OLD_NAMES), tmp_path / "checkpoint")
    state = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").state_dict()
    for name, values in expected.items():
        np.testing.assert_array_equal(state[name].numpy(), values)
    assert kept_open(folder).keys() == expected.keys()


def test_the_graphs_matrices_are_the_very_integers_that_were_kept(tmp_path):
    source, expected = quantised_folder(tmp_path / "source", settings=GPTQ)
    made = checkpoint_prepare(source=source, into=tmp_path / "checkpoint", progress=lambda step, part: None)
    stored, kept = StoredFloats(made.folder), kept_open(made.folder)
    found = 0
    for part in parts_all(stored):
        if part != HEAD_PART:
            names = part_sources(part)
            found += len(names)
            np.testing.assert_array_equal(concatenate([kept[name] for name in names]).dequantise(), stored.matrix(part))
    assert found == len(expected)


def test_a_plan_keeps_a_parts_integers_and_rounds_another_part(tmp_path):
    draw = np.random.default_rng(4)
    matrix = draw.normal(size=(8, 64)).astype(np.float32)
    own = nearest(bits=4, block=16)("", draw.normal(size=(8, 64)).astype(np.float32))
    rounding = MixedRounding(tmp_path, {"model.layers.0.self_attn.o_proj.weight": own}, {})
    rounded = Choice(bits=8, block=32, size_bytes=1, loss=0.0)
    kept = Choice(bits=own.bits, block=own.block, size_bytes=1, loss=0.0, is_kept=True)
    choose = rounding.rounder({"layers.0.o": kept, "layers.1.o": rounded})
    np.testing.assert_array_equal(choose("layers.0.o", matrix).codes, own.codes)
    np.testing.assert_array_equal(
        choose("layers.1.o", matrix).codes, nearest(bits=8, block=32)("layers.1.o", matrix).codes
    )


def test_defaults_that_a_text_half_leaves_out_are_spelt_out(tmp_path):
    source = make_multimodal(tiny_checkpoint(tmp_path / "source"), prefix=NEW_NAMES)
    config = json.loads((source / "config.json").read_text())
    for name in ("rms_norm_eps", "rope_theta", "hidden_activation"):
        del config["text_config"][name]
    (source / "config.json").write_text(json.dumps(config))
    prepared = json.loads((prepare(source, tmp_path / "checkpoint") / "config.json").read_text())
    assert prepared["rms_norm_eps"] == 1e-6
    assert prepared["rope_theta"] == 1_000_000.0
    assert prepared["hidden_activation"] == "gelu_pytorch_tanh"


def test_the_integers_of_a_gguf_file_are_kept_where_blocks_hold_them(tmp_path):
    kinds = {"attn_q": Kind.Q8_0, "attn_k": Kind.Q4_0, "ffn_up": Kind.Q5_0, "ffn_down": Kind.Q4_1}
    source = tiny_gguf(tmp_path / "tiny.gguf", matrices=kinds | {"token_embd": Kind.Q8_0})
    folder = prepare(source, tmp_path / "checkpoint")
    floats, kept = load_file(weights_of(folder)), kept_open(folder)
    forms = {"q_proj": (8, 32), "k_proj": (4, 32), "up_proj": (8, 32), "embed_tokens": (8, 32)}
    assert {name.split(".")[-2]: (weights.bits, weights.block) for name, weights in kept.items()} == forms
    assert len(kept) == 7
    for tensor in GGUFReader(source).tensors:
        if tensor.name in {"blk.1.ffn_down.weight", "blk.0.attn_k.weight", "blk.1.attn_v.weight"}:
            part = {"ffn_down": "mlp.down_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj"}
            _, layer, word, _ = tensor.name.split(".")
            values = dequantize(tensor.data, tensor.tensor_type)
            np.testing.assert_array_equal(floats[f"model.layers.{layer}.{part[word]}.weight"].numpy(), values)
    for name, weights in kept.items():
        np.testing.assert_array_equal(weights.dequantise(), floats[name].numpy())


def test_weights_in_several_files_load_as_one_model_and_keep_their_integers(tmp_path):
    source, expected = quantised_folder(tmp_path / "source", settings=GPTQ)
    whole = prepare(source, tmp_path / "whole")
    tensors, kept = load_file(weights_of(whole)), kept_open(whole)
    folder = tmp_path / "pieces"
    folder.mkdir()
    weights = ((name, kept.get(name, tensor)) for name, tensor in tensors.items())
    weights_write(weights, into=folder, dtype=torch.float32, digest=checkpoint_open(whole).digest, shard_bytes=30_000)
    for path in whole.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 3
    assert all(path.stat().st_size < 30_000 + 10_000 for path in folder.glob("kept-*-of-*.safetensors"))
    state = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in tensors.items())
    assert kept_open(folder).keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(kept_open(folder)[name].dequantise(), values)


def test_large_checkpoints_are_prepared_in_half_the_bytes(tmp_path):
    assert float_type(1_000_000_000) == torch.float32
    assert float_type(4_000_000_000) == torch.bfloat16
    blocks = BlockWeights(bits=4, block=32, codes=np.full((2, 1, 32), 9, np.uint8), scales=np.ones((2, 1), np.float32))
    weights_write([("a.weight", blocks)], into=tmp_path, dtype=torch.bfloat16, digest="")
    assert torch.equal(load_file(weights_of(tmp_path))["a.weight"], torch.ones(2, 32, dtype=torch.bfloat16))


def test_integers_do_not_count_for_weights_that_have_changed_since(tmp_path):
    source, expected = quantised_folder(tmp_path / "source", settings=GPTQ)
    prepare(source, tmp_path / "checkpoint")
    prepared = checkpoint_open(tmp_path / "checkpoint")
    assert len(kept_open(prepared.folder)) == len(expected)
    checkpoint_record(type(prepared)(**{**vars(prepared), "digest": f"{prepared.digest}+chat-tuning"}))
    assert len(kept_open(prepared.folder)) == 0
    with pytest.raises(CheckpointMissing):
        kept_open(tmp_path)


def test_a_trimmed_vocabulary_keeps_its_rows_and_leaves_the_source_as_it_was(tmp_path):
    source = prepare(
        tiny_gguf(tmp_path / "tiny.gguf", matrices={"token_embd": Kind.Q4_0, "attn_q": Kind.Q8_0}), tmp_path / "a"
    )
    before = (source / "kept.safetensors").read_bytes()
    trimmed, rows = tmp_path / "trimmed", [0, 3, 5, 9]
    trimmed.mkdir()
    checkpoint_record(
        type(checkpoint_open(source))(**{**vars(checkpoint_open(source)), "folder": trimmed, "digest": "t"})
    )
    (trimmed / "kept.safetensors").hardlink_to(source / "kept.safetensors")
    assert len(kept_open(trimmed)) == 0
    kept_trim(source=source, into=trimmed, rows=rows)
    old, new = kept_open(source), kept_open(trimmed)
    assert old.keys() == new.keys()
    np.testing.assert_array_equal(new[EMBEDDING].dequantise(), old[EMBEDDING].dequantise()[rows])
    name = "model.layers.1.self_attn.q_proj.weight"
    np.testing.assert_array_equal(new[name].dequantise(), old[name].dequantise())
    assert (source / "kept.safetensors").read_bytes() == before


def test_a_prepared_folder_can_be_prepared_again(tmp_path):
    source, _ = quantised_folder(tmp_path / "source", settings=GPTQ)
    once = prepare(source, tmp_path / "once")
    twice = prepare(once, tmp_path / "twice")
    assert weights_of(twice).read_bytes() == weights_of(once).read_bytes()
    assert len(kept_open(twice)) == 0


def lacking(word):
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if word not in name}


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lacking("layers.1.mlp.up_proj.qzeros"), CheckpointIncomplete),
        (lacking("layers.1.mlp.up_proj"), CheckpointIncomplete),
        (lacking("layers.0.input_layernorm"), CheckpointIncomplete),
        (lambda t: t | {"model.layers.0.mlp.up_proj.scales": torch.ones(3, 5)}, CheckpointIncomplete),
        (lambda t: t | {"model.layers.0.mlp.up_proj.bias": torch.ones(128)}, UnsupportedArchitecture),
        (lambda t: t | {"model.layers.0.mlp.act.scales": torch.ones(128)}, UnsupportedArchitecture),
        (lambda t: t | {"model.layers.0.mlp.router.weight": torch.ones(4, 4)}, UnsupportedArchitecture),
    ],
)
def test_a_folder_with_a_part_missing_or_left_over_is_refused_and_leaves_nothing(tmp_path, change, refusal):
    source, _ = quantised_folder(tmp_path / "source", settings=GPTQ)
    tensors_change(source, change)
    with pytest.raises(refusal):
        prepare(source, tmp_path / "out" / "checkpoint")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_bias_of_zeros_is_left_out(tmp_path):
    source, expected = quantised_folder(tmp_path / "source", settings=GPTQ)
    tensors_change(source, lambda tensors: tensors | {"model.layers.0.mlp.up_proj.bias": torch.zeros(128)})
    folder = prepare(source, tmp_path / "checkpoint")
    assert kept_open(folder).keys() == expected.keys()
    assert not any(name.endswith("bias") for name in load_file(weights_of(folder)))


@pytest.mark.parametrize("settings", [{"quant_method": "fp8"}, GPTQ | {"bits": 3}, AWQ | {"version": "gemv"}])
def test_a_folder_quantised_in_another_way_is_refused_and_leaves_nothing(tmp_path, settings):
    source = tiny_checkpoint(tmp_path / "source")
    settings_change(source, quantization_config=settings)
    with pytest.raises(UnsupportedArchitecture):
        prepare(source, tmp_path / "out" / "checkpoint")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_file_of_weights_is_refused_by_name(tmp_path):
    source = tiny_checkpoint(tmp_path / "source")
    weights_of(source).write_bytes(weights_of(source).read_bytes()[:5000])
    with pytest.raises(CheckpointIncomplete) as caught:
        prepare(source, tmp_path / "checkpoint")
    assert caught.value.fields["missing"] == "model.safetensors"

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from central.releases.packaging.checkpoint import checkpoint_open, checkpoint_prepare
from central.releases.packaging.errors import CheckpointIncomplete, CheckpointMissing, UnsupportedArchitecture
from central.releases.packaging.text_names import EMBEDDING, HEAD, LAYER_PARTS, NORM, names_check, text_name
from tests.tiny_checkpoint import tiny_checkpoint, tiny_gguf, tiny_tokenizer


def prepare(source, into):
    return checkpoint_prepare(source=source, into=into, progress=lambda step, part: None)


def test_a_gguf_file_and_a_transformers_folder_of_one_model_give_the_same_weights(tmp_path):
    folder = prepare(tiny_checkpoint(tmp_path / "source"), tmp_path / "a").folder
    file = prepare(tiny_gguf(tmp_path / "tiny.gguf"), tmp_path / "b").folder
    ours, theirs = load_file(folder / "model.safetensors"), load_file(file / "model.safetensors")
    assert ours.keys() - {"lm_head.weight"} == theirs.keys()
    for name, values in theirs.items():
        # The converter's 1 + weight and our subtraction each round once.
        np.testing.assert_allclose(values, ours[name], atol=1e-6)
    config = json.loads((file / "config.json").read_text())
    assert config["head_dim"] == config["query_pre_attn_scalar"] == 32


def test_the_tokenizer_of_a_gguf_file_encodes_as_the_one_it_came_from(tmp_path):
    file = prepare(tiny_gguf(tmp_path / "tiny.gguf"), tmp_path / "b").folder
    rebuilt, original = Tokenizer.from_file(str(file / "tokenizer.json")), tiny_tokenizer()
    for text in ("салом, ҷаҳон!", "the  cat\n\nдӯст", "Ω ☃"):
        assert rebuilt.encode(text).ids == original.encode(text).ids


def test_any_text_comes_back_from_its_tokens():
    tokenizer = tiny_tokenizer()
    for text in ("салом ҷаҳон", "  two  spaces   three", "Ω ☃ é", "a\n\n\nb", "<start_of_turn>"):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_merges_follow_the_scores_and_runs_of_spaces_match_whole():
    tokenizer = tiny_tokenizer()
    assert tokenizer.encode(" салом  ом").tokens == ["<bos>", "▁салом", "▁▁", "ом"]
    assert tokenizer.encode("Ω").tokens == ["<bos>", "<0xCE>", "<0xA9>"]


def test_a_checkpoint_of_another_architecture_is_refused_and_leaves_nothing(tmp_path):
    source = tiny_checkpoint(tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))
    sources = [source, tiny_gguf(tmp_path / "other.gguf", architecture="llama")]
    (tmp_path / "noise.gguf").write_bytes(b"not a model at all" * 10)
    for refused in [*sources, tmp_path / "noise.gguf"]:
        with pytest.raises(UnsupportedArchitecture) as caught:
            prepare(refused, tmp_path / "out" / "checkpoint")
        assert caught.value.fields["supported"] == "gemma3_text"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_refusal_keeps_the_checkpoint_that_was_there(tmp_path):
    kept = prepare(tiny_checkpoint(tmp_path / "source"), tmp_path / "checkpoint")
    with pytest.raises(CheckpointMissing):
        prepare(tmp_path / "nowhere", tmp_path / "checkpoint")
    (tmp_path / "source" / "tokenizer.json").unlink()
    with pytest.raises(CheckpointIncomplete):
        prepare(tmp_path / "source", tmp_path / "checkpoint")
    assert checkpoint_open(tmp_path / "checkpoint") == kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "source"]


def test_a_model_has_exactly_the_tensors_of_its_layers_and_an_untied_head():
    names = {EMBEDDING, NORM, *(f"model.layers.{layer}.{part}.weight" for layer in (0, 1) for part in LAYER_PARTS)}
    names_check(names, layers=2, is_tied=True, source="here")
    names_check(names | {HEAD}, layers=2, is_tied=False, source="here")
    for incomplete, is_tied in ((names, False), (names - {"model.layers.1.mlp.up_proj.weight"}, True)):
        with pytest.raises(CheckpointIncomplete):
            names_check(incomplete, layers=2, is_tied=is_tied, source="here")
    for left_over in ("model.layers.2.mlp.up_proj.weight", "rope_freqs.weight"):
        with pytest.raises(UnsupportedArchitecture) as caught:
            names_check(names | {left_over}, layers=2, is_tied=True, source="here")
        assert caught.value.fields["architecture"] == f"with {left_over}"


def test_the_text_half_is_named_alike_by_old_and_new_multimodal_checkpoints():
    for prefix in ("model.", "language_model.model.", "model.language_model."):
        assert text_name(f"{prefix}layers.3.mlp.up_proj.qweight") == "model.layers.3.mlp.up_proj.qweight"
    assert text_name("language_model.lm_head.weight") == text_name("lm_head.weight") == HEAD
    for prefix in ("", "model."):
        assert text_name(f"{prefix}vision_tower.vision_model.embeddings.patch_embedding.weight") is None
        assert text_name(f"{prefix}multi_modal_projector.mm_input_projection_weight") is None

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma3ForCausalLM

from central.releases.packaging.checkpoint import checkpoint_prepare
from central.releases.packaging.checkpoint_card import checkpoint_open
from central.releases.packaging.errors import CheckpointIncomplete, UnsupportedArchitecture
from central.releases.packaging.gguf_tokenizer import tokenizer_build
from central.releases.packaging.kept_weights import kept_open
from central.releases.packaging.tensor_shards import TensorShards
from central.releases.packaging.text_names import EMBEDDING, HEAD
from central.releases.packaging.trim import checkpoint_trim, trim_digest
from central.releases.packaging.trim_check import TrimTooLossy
from central.releases.packaging.trim_words import Trimming
from federation.inference.prompt import ChatTokenizer, Role, Turn
from tests.tiny_checkpoint import tiny_checkpoint, tiny_gguf, tiny_model, tiny_vocabulary

# After <pad> and <eos>, so that every other id moves when they go.
FRONT = ["<unused0>", "<unused7>", "<start_of_image>"]
Q8_0 = GGMLQuantizationType.Q8_0
FEW = Trimming(english=0, latin=0, capitals=0)
torch.set_num_threads(1)


def checkpoint_make(folder, *, is_tied=True):
    """Prepare the tiny checkpoint with places for images and for nothing, and an embedding of three rows too many."""
    source = tiny_checkpoint(folder / "source")
    pieces, scores, kinds = tiny_vocabulary()
    pieces[2:2], scores[2:2], kinds[2:2] = FRONT, [-1000.0] * 3, [3] * 3
    pieces.append("<image_soft_token>")
    scores.append(-1000.0)
    kinds.append(3)
    tokenizer = tokenizer_build(pieces=pieces, scores=scores, kinds=kinds, bos="<bos>", unknown="<unk>")
    tokenizer.save(str(source / "tokenizer.json"))
    config = tiny_model().config
    config.update({"vocab_size": len(pieces) + 2, "bos_token_id": 5, "tie_word_embeddings": is_tied})
    torch.manual_seed(3)
    (source / "model.safetensors").unlink()
    model = Gemma3ForCausalLM(config)
    torch.nn.init.normal_(model.model.embed_tokens.weight)
    model.save_pretrained(source)
    generation = {"bos_token_id": 5, "eos_token_id": [1, 8], "pad_token_id": 0, "top_k": 64}
    (source / "generation_config.json").write_text(json.dumps(generation), "utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>",
        "image_token": {"__type": "AddedToken", "content": "<image_soft_token>"},
        "extra_special_tokens": {"boi_token": "<start_of_image>"},
        "added_tokens_decoder": {str(i): {"content": token} for i, token in [(5, "<bos>"), (2, "<unused0>")]},
    }
    (source / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (source / "chat_template.jinja").write_text("{{ bos_token }}<start_of_turn><unused7>", "utf-8")
    return checkpoint_prepare(source=source, into=folder / "checkpoint", progress=lambda step, part: None)


def trim(checkpoint, into, *, languages=("tg",), trimming=FEW):
    return checkpoint_trim(
        checkpoint=checkpoint, languages=languages, into=into, progress=lambda part: None, trimming=trimming
    )


def ids_of(folder):
    return Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()


@pytest.mark.parametrize("is_tied", [True, False])
def test_the_model_expects_of_the_tokens_that_stay_exactly_what_it_did(tmp_path, is_tied):
    before = checkpoint_make(tmp_path, is_tied=is_tied)
    after = trim(before, tmp_path / "trimmed")
    old, new = ids_of(before.folder), ids_of(after.folder)
    order = [old[token] for token in sorted(new, key=new.__getitem__)]
    text = [old["<bos>"], *ChatTokenizer(before.folder / "tokenizer.json").words("салом ҷаҳон, дӯст!")]
    whole = AutoModelForCausalLM.from_pretrained(before.folder, dtype=torch.float32)
    small = AutoModelForCausalLM.from_pretrained(after.folder, dtype=torch.float32)
    with torch.no_grad():
        expected = whole(torch.tensor([text])).logits[..., order]
        found = small(torch.tensor([[order.index(number) for number in text]])).logits
    assert order == sorted(order)
    assert len(order) < len(old)
    # The products are the same; only the order in which a row's are added up may differ with the number of rows.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_ids_in_every_settings_file_follow_their_tokens(tmp_path):
    after = trim(checkpoint_make(tmp_path), tmp_path / "trimmed").folder
    ids = ids_of(after)
    config, generation, words = (
        json.loads((after / name).read_text())
        for name in ("config.json", "generation_config.json", "tokenizer_config.json")
    )
    roles = {"bos_token_id": ids["<bos>"], "eos_token_id": ids["<eos>"], "pad_token_id": ids["<pad>"]}
    assert {name: config[name] for name in roles} == roles
    assert config["vocab_size"] == len(ids) == max(ids.values()) + 1
    assert generation == {**roles, "eos_token_id": [ids["<eos>"], ids["<end_of_turn>"]], "top_k": 64}
    assert words["added_tokens_decoder"] == {str(ids["<bos>"]): {"content": "<bos>"}}
    assert Tokenizer.from_file(str(after / "tokenizer.json")).encode("салом").ids[0] == ids["<bos>"]
    # transformers adds what tokenizer_config.json names and the vocabulary lacks.
    assert len(AutoTokenizer.from_pretrained(after)) == len(ids)


def test_what_stands_for_nothing_goes_and_what_the_chat_template_names_stays(tmp_path):
    ids = ids_of(trim(checkpoint_make(tmp_path), tmp_path / "trimmed").folder)
    assert ids.keys().isdisjoint({"<unused0>", "<start_of_image>", "<image_soft_token>", "he", "▁the"})
    assert {"<unused7>", "<pad>", "<unk>", "<start_of_turn>", "\n\n", "   ", "<0x0A>", "a", "▁салом"} <= ids.keys()


def test_a_chat_is_the_same_tokens_as_before(tmp_path):
    before = checkpoint_make(tmp_path)
    after = trim(before, tmp_path / "trimmed")
    turns = [Turn(Role.SYSTEM, "Кӯтоҳ ҷавоб деҳ."), Turn(Role.USER, "Салом,\n\nҷаҳон   ом! ☃ <unused0>")]
    strings = []
    for folder in (before.folder, after.folder):
        names = {number: token for token, number in ids_of(folder).items()}
        chat = ChatTokenizer(folder / "tokenizer.json")
        strings.append([names[number] for number in chat.prompt(turns, allowed_tokens=200)])
    assert strings[0] == strings[1]


def test_the_files_and_their_digest_depend_on_nothing_but_what_they_are_made_from(tmp_path):
    before = checkpoint_make(tmp_path)
    one = trim(before, tmp_path / "one", languages=("tg", "ru"))
    two = trim(before, tmp_path / "two", languages=["ru", "tg", "ru"])
    made = [{path.name: path.read_bytes() for path in each.folder.iterdir()} for each in (one, two)]
    assert made[0] == made[1]
    assert one.digest == f"{before.digest}+trim-{trim_digest(('tg', 'ru'), FEW)}"
    assert checkpoint_open(one.folder) == one
    assert replace(one, folder=before.folder, digest=before.digest) == before
    others = {trim_digest(("tg",), FEW), trim_digest(("tg", "ru"), replace(FEW, latin=1))}
    assert len(others | {trim_digest(("tg", "ru"), FEW)}) == 3


def test_a_vocabulary_that_loses_words_of_a_language_is_refused_and_what_was_there_stays(tmp_path):
    before = checkpoint_make(tmp_path)
    kept = trim(before, tmp_path / "out" / "trimmed")
    with pytest.raises(TrimTooLossy) as caught:
        trim(before, kept.folder, languages=("tg", "en"))
    assert caught.value.fields["language"] == "en"
    assert 0.5 < caught.value.fields["share"] < 0.999
    assert checkpoint_open(kept.folder) == kept
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["trimmed"]


def test_a_checkpoint_that_names_a_token_it_does_not_have_is_refused(tmp_path):
    before = checkpoint_make(tmp_path)
    config = json.loads((before.folder / "config.json").read_text())
    (before.folder / "config.json").write_text(json.dumps(config | {"eos_token_id": [1, 999_999]}))
    with pytest.raises(CheckpointIncomplete) as caught:
        trim(before, tmp_path / "out" / "trimmed")
    assert caught.value.fields["missing"] == "token 999999"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_tokenizer_of_another_kind_is_refused(tmp_path):
    before = checkpoint_make(tmp_path)
    path = before.folder / "tokenizer.json"
    document = json.loads(path.read_text())
    document["model"]["byte_fallback"] = False
    path.write_text(json.dumps(document))
    with pytest.raises(UnsupportedArchitecture):
        trim(before, tmp_path / "out" / "trimmed")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("languages", [(), ("tg", "fa")])
def test_a_language_without_rules_is_refused(tmp_path, languages):
    with pytest.raises(ValueError, match="languages must be some of"):
        trim(checkpoint_make(tmp_path), tmp_path / "trimmed", languages=languages)
    assert not (tmp_path / "trimmed").exists()


def test_files_without_the_embedding_are_not_copied(tmp_path):
    before = checkpoint_make(tmp_path, is_tied=False)
    weights = load_file(before.folder / "model.safetensors")
    (before.folder / "model.safetensors").unlink()
    with TensorShards(before.folder, "model", shard_bytes=150_000) as shards:
        for name, tensor in weights.items():
            shards.put({name: tensor})
    after = trim(before, tmp_path / "trimmed")
    index = json.loads((after.folder / "model.safetensors.index.json").read_text())
    rewritten = {index["weight_map"][name] for name in (EMBEDDING, HEAD)}
    names = sorted(path.name for path in after.folder.glob("*.safetensors"))
    assert names == sorted(path.name for path in before.folder.glob("*.safetensors"))
    assert len(names) > len(rewritten)
    for name in names:
        assert (after.folder / name).samefile(before.folder / name) == (name not in rewritten)
    shutil.rmtree(before.folder)
    assert len(AutoModelForCausalLM.from_pretrained(after.folder).lm_head.weight) == len(ids_of(after.folder))


def test_the_integers_of_a_quantised_checkpoint_come_along(tmp_path):
    source = tiny_gguf(tmp_path / "tiny.gguf", matrices={"token_embd": Q8_0, "ffn_up": Q8_0})
    before = checkpoint_prepare(source=source, into=tmp_path / "checkpoint", progress=lambda step, part: None)
    after = trim(before, tmp_path / "trimmed")
    old, new = ids_of(before.folder), ids_of(after.folder)
    rows = sorted(old[token] for token in new)
    assert len(rows) < len(old)
    whole, small = kept_open(before.folder), kept_open(after.folder)
    assert set(whole) == set(small) == {EMBEDDING, *(f"model.layers.{i}.mlp.up_proj.weight" for i in range(2))}
    for name in whole:
        expected = whole[name].dequantise()
        assert np.array_equal(small[name].dequantise(), expected[rows] if name == EMBEDDING else expected)

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from central.releases.packaging.gguf_tokenizer import SPACE, tokenizer_build
from central.releases.packaging.trim_check import share_same
from central.releases.packaging.trim_settings import ids_referred, ids_renumber, tokenizer_config_trim
from central.releases.packaging.trim_tokenizer import merge_paths, tokenizer_read, tokenizer_trim
from central.releases.packaging.trim_words import Trimming, tokens_choose
from tests.tiny_checkpoint import BYTES, CONTROLS, RUNS

# In the order of their merges: of "▁dadi" the halves are "▁" and "dadi", though "▁da" and "di" would do.
SYLLABLES = ["da", "di", "dadi", f"{SPACE}da", f"{SPACE}dadi", "ii", "цаd", "ца", "цаца", "ნა", "!?"]
LETTERS = [SPACE, *"adiцаნ!?πµé\u2010"]
NO_WORDS = Trimming(english=0, latin=0, capitals=0)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A vocabulary of three scripts, read and as its encoder."""
    pieces = list(dict.fromkeys([*CONTROLS, "<unused3>", *RUNS, *BYTES, *SYLLABLES, *LETTERS]))
    front = len(CONTROLS) + 1 + len(RUNS)
    kinds = [3] * (len(CONTROLS) + 1) + [4] * len(RUNS) + [6] * len(BYTES)
    kinds += [1] * (len(pieces) - front - len(BYTES))
    scores = [-float(rank) for rank in range(len(pieces))]
    path = tmp_path_factory.mktemp("toy") / "tokenizer.json"
    built = tokenizer_build(pieces=pieces, scores=scores, kinds=kinds, bos="<bos>", unknown="<unk>")
    built.save(str(path))
    return tokenizer_read(path), built


@pytest.fixture(scope="module")
def trimmed(toy):
    """The tokens that stay for Tajik and for "▁dadi", the encoder over them, and their new ids."""
    kept = choose(toy, ["tg"], referred=[toy[0].ids[f"{SPACE}dadi"]])
    document, new_ids = tokenizer_trim(toy[0], kept=kept)
    return kept, Tokenizer.from_str(json.dumps(document)), new_ids


def choose(toy, languages, *, referred=(), mentions=""):
    return tokens_choose(
        toy[0],
        encoder=toy[1],
        languages=frozenset(languages),
        trimming=NO_WORDS,
        referred=frozenset(referred),
        mentions=mentions,
    )


def test_all_cyrillic_tokens_stay_for_tajik_and_for_russian_and_not_for_english(toy):
    assert {"ца", "цаца", "цаd"} <= choose(toy, ["tg"])
    assert {"ца", "цаца", "цаd"} <= choose(toy, ["en", "ru"])
    assert choose(toy, ["en"]).isdisjoint({"ца", "цаца", "цаd"})


@pytest.mark.parametrize("language", ["tg", "ru", "en"])
def test_single_letters_of_the_scripts_and_of_formulas_stay_and_those_of_others_go(toy, language):
    kept = choose(toy, [language])
    assert {"d", "ц", "π", "µ", "é", "\u2010", "!?", "<0xE1>", "\n\n", "   ", "<eos>"} <= kept
    assert kept.isdisjoint({"ნ", "ნა", "ii"})


def test_a_place_for_later_stays_only_where_settings_or_the_template_name_it(toy):
    number = toy[0].ids["<unused3>"]
    assert "<unused3>" not in choose(toy, ["tg"], mentions="<unused33> <unused>")
    assert "<unused3>" in choose(toy, ["tg"], mentions="{{ '<unused3>' }}")
    assert "<unused3>" in choose(toy, ["tg"], referred=[number])


def test_a_token_that_stays_keeps_what_its_merging_passes_through_and_no_more(toy, trimmed):
    word = f"{SPACE}dadi"
    assert list(merge_paths([word], merges=toy[0].merges)) == [*word, "da", "di", "dadi", word]
    assert {"da", "di", "dadi", word} <= trimmed[0]
    assert trimmed[0].isdisjoint({f"{SPACE}da", "ii", "<unused3>"})


def test_the_merges_that_stay_are_in_the_old_order(toy, trimmed):
    left = [pair for pair in toy[0].merges if trimmed[0].issuperset((*pair, "".join(pair)))]
    merges = json.loads(trimmed[1].to_str())["model"]["merges"]
    assert [tuple(pair) for pair in merges] == left
    assert 0 < len(left) < len(toy[0].merges)


@given(text=st.text(st.sampled_from(" adiцаნ!?é☃\n"), max_size=40))
def test_text_whose_tokens_stay_comes_out_the_same_and_any_text_can_be_read_again(toy, trimmed, text):
    kept, after, new_ids = trimmed
    old, new = toy[1].encode(text), after.encode(text)
    assert after.decode(new.ids) == toy[1].decode(old.ids)
    if kept.issuperset(old.tokens):
        assert new.tokens == old.tokens
        assert new.ids == [new_ids[number] for number in old.ids]
        assert share_same(toy[1], after, [text]) == 1.0


def test_the_share_of_the_same_tokens_counts_those_of_the_same_characters(toy, trimmed):
    # "▁da" of four tokens became "▁" and "da"; "da" of the end is no match for the one in front.
    assert toy[1].encode(" da!?da", add_special_tokens=False).tokens == [f"{SPACE}da", "!?", "da"]
    assert share_same(toy[1], trimmed[1], [" da!?da"]) == pytest.approx(2 / 3)
    assert share_same(toy[1], trimmed[1], [""]) == 1.0


def test_ids_are_found_and_renumbered_wherever_settings_name_them():
    settings = {"bos_token_id": 4, "eos_token_id": [2, 9], "sep_token_id": None, "image_token_index": 7, "top_k": 4}
    assert sorted(ids_referred(settings)) == [2, 4, 7, 9]
    assert ids_renumber(settings | {"vocab_size": 10}, {2: 0, 4: 1, 7: 2, 9: 3}) == {
        "bos_token_id": 1,
        "eos_token_id": [0, 3],
        "sep_token_id": None,
        "image_token_index": 2,
        "top_k": 4,
        "vocab_size": 4,
    }


def test_names_of_dropped_tokens_go_from_the_tokenizers_settings_at_any_depth():
    settings = {
        "bos_token": "<bos>",
        "image_token": {"content": "<img>", "special": True},
        "additional_special_tokens": ["<img>", "<turn>"],
        "extra_special_tokens": {"boi_token": "<img>", "turn": "<turn>"},
        "chat_template": "<img> in a sentence",
        "added_tokens_decoder": {"2": {"content": "<bos>"}, "5": {"content": "<img>"}},
    }
    assert tokenizer_config_trim(settings, new_ids={2: 1}, dropped={"<img>"}) == {
        "bos_token": "<bos>",
        "additional_special_tokens": ["<turn>"],
        "extra_special_tokens": {"turn": "<turn>"},
        "chat_template": "<img> in a sentence",
        "added_tokens_decoder": {"1": {"content": "<bos>"}},
    }

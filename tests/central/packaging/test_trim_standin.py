"""Trims the vocabulary of the real Gemma 3 270M."""

import random
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from wordfreq import iter_wordlist

from central.releases.evaluation_set import unrelated_read
from central.releases.packaging.checkpoint import checkpoint_prepare
from central.releases.packaging.text_names import EMBEDDING
from central.releases.packaging.trim import checkpoint_trim
from central.releases.packaging.trim_check import LEAST_SHARE, check_texts, trim_check
from central.releases.packaging.trim_perplexity import (
    ALLOWED_INCREASE,
    TrimPerplexityTooHigh,
    Vocabulary,
    losses_open,
    trim_perplexity,
)
from central.releases.packaging.trim_words import Trimming
from tests.test_catalogues import catalogue_read

pytestmark = pytest.mark.slow

LANGUAGES = ("tg", "ru", "en")
TAJIK = "абвгғдеёжзиӣйкқлмнопрстуӯфхҳчҷшъэюя"
ENGLISH_WORDS = list(islice(iter_wordlist("en"), Trimming().english))


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    into = tmp_path_factory.mktemp("standin") / "checkpoint"
    return checkpoint_prepare(source=None, into=into, progress=lambda step, part: None)


@pytest.fixture(scope="module")
def trimmed(standin, tmp_path_factory):
    into = tmp_path_factory.mktemp("trimmed") / "checkpoint"
    return checkpoint_trim(checkpoint=standin, languages=LANGUAGES, into=into, progress=lambda part: None)


@pytest.fixture(scope="module")
def encoders(standin, trimmed):
    """The tokenizer before and the one after."""
    return tuple(Tokenizer.from_file(str(each.folder / "tokenizer.json")) for each in (standin, trimmed))


def strings(encoders, text):
    return [encoder.encode(text).tokens for encoder in encoders]


def test_less_than_half_of_the_words_stay_and_each_with_its_own_row(standin, encoders, trimmed):
    before, after = (encoder.get_vocab() for encoder in encoders)
    whole, rows = (load_file(each.folder / "model.safetensors")[EMBEDDING] for each in (standin, trimmed))
    assert len(rows) == len(after) < len(before) / 2
    order = sorted(after, key=after.__getitem__)
    assert torch.equal(rows, whole[[before[token] for token in order]])


def test_no_language_costs_half_a_percent_of_perplexity_more(trimmed):
    losses = losses_open(trimmed.folder)
    assert losses.keys() == set(LANGUAGES)
    # Tajik keeps each token, so that sharing out what the others had can only help it.
    assert losses["tg"].trimmed < losses["tg"].whole < 3
    assert max(loss.increase for loss in losses.values()) < ALLOWED_INCREASE


def test_one_row_that_is_missing_is_refused(standin, trimmed, encoders, tmp_path):
    # From the first missing row on, each token has its neighbour's.
    for path in trimmed.folder.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    weights = load_file(tmp_path / "model.safetensors")
    rows = weights[EMBEDDING]
    weights[EMBEDDING] = torch.cat([rows[:60_000], rows[60_001:], rows[:1]])
    (tmp_path / "model.safetensors").unlink()
    save_file(weights, tmp_path / "model.safetensors")
    before, after = Vocabulary(standin.folder, encoders[0]), Vocabulary(tmp_path, encoders[1])
    with pytest.raises(TrimPerplexityTooHigh) as caught:
        trim_perplexity(before=before, after=after, texts=check_texts(LANGUAGES), progress=lambda part: None)
    assert caught.value.fields["increase"] > 1


def test_every_text_that_languages_are_judged_on_is_the_same_tokens_as_before(encoders):
    shares = trim_check(before=encoders[0], after=encoders[1], texts=check_texts(LANGUAGES))
    assert shares.keys() == set(LANGUAGES)
    assert shares["tg"] == 1.0


@pytest.mark.parametrize("language", ["tg", "ru"])
def test_what_our_own_pages_and_questions_say_is_the_same_tokens_as_before(encoders, language):
    lines = [str(m.string) for project in ("central", "node") for m in catalogue_read(project, language)[0] if m.id]
    if language == "tg":
        lines += [text for pair in unrelated_read() for text in (pair.question, pair.answer)]
    texts = {language: lines}
    assert trim_check(before=encoders[0], after=encoders[1], texts=texts)[language] >= LEAST_SHARE


@given(words=st.lists(st.sampled_from(ENGLISH_WORDS), max_size=8), seed=st.integers(0, 99))
def test_the_words_of_the_list_are_the_same_tokens_as_before(encoders, words, seed):
    draw = random.Random(seed)
    marks = [" ", "\n", ", ", " (", "\u2010", " «"]
    text = "".join(draw.choice(marks) + draw.choice([word, word.capitalize()]) for word in words)
    before, after = strings(encoders, text)
    assert before == after


@given(words=st.lists(st.text(TAJIK + TAJIK.upper(), min_size=1, max_size=12), max_size=8))
def test_any_letters_of_tajik_are_the_same_tokens_as_before(encoders, words):
    before, after = strings(encoders, " ".join(words) + ".")
    assert before == after


@given(text=st.text(max_size=60))
def test_any_text_comes_back_from_its_tokens_as_it_did(encoders, text):
    before, after = (encoder.decode(encoder.encode(text).ids) for encoder in encoders)
    assert before == after


@pytest.mark.parametrize(
    "text",
    [
        "\\frac{1}{2} \\sqrt{x} \\leq \\infty, \\alpha\\cdot\\pi \\neq 5 µм, 3 × 10⁸ м/с",
        "  • 1.\t**Ҷавоб:** `x = y` → 20\u2010ум — «ҳа»…\n\n\n### № 3",
        "<start_of_turn>user\nСалом!<end_of_turn>\n",
    ],
)
def test_formulas_marks_and_turns_are_the_same_tokens_as_before(encoders, text):
    before, after = strings(encoders, text)
    assert before == after

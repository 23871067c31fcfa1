import math
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import Gemma3ForCausalLM

from central.releases.packaging.layer_stream import LayerStream
from central.releases.packaging.text_names import EMBEDDING
from central.releases.packaging.trim import checkpoint_trim
from central.releases.packaging.trim_check import check_texts
from central.releases.packaging.trim_perplexity import (
    TrimPerplexityTooHigh,
    Vocabulary,
    losses_open,
    trim_perplexity,
)
from central.releases.packaging.trim_words import Trimming
from tests.tiny_checkpoint import tiny_prepared

FEW = Trimming(english=0, latin=0, capitals=0)
LINES = ["салом, ҷаҳони кӯҳна!", "дӯст аз дӯст омӯзад", "баҳор омад"]
torch.set_num_threads(1)


def nats(model, ids):
    """What the tokens after the first cost, by the plain softmax of transformers' own logits."""
    with torch.no_grad():
        chances = torch.log_softmax(model(torch.tensor([ids])).logits[0, :-1].double(), dim=-1)
    return -float(chances[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].sum())


def vocabulary(folder):
    return Vocabulary(folder, Tokenizer.from_file(str(folder / "tokenizer.json")))


def opened(folder):
    return Gemma3ForCausalLM.from_pretrained(folder, dtype=torch.float32)


def measure(before, after, texts, **options):
    return trim_perplexity(
        before=vocabulary(before), after=vocabulary(after), texts=texts, progress=lambda part: None, **options
    )


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A tiny checkpoint that has learnt some Tajik and the word "he", for which it matters where a row stands."""
    checkpoint = tiny_prepared(tmp_path_factory.mktemp("learnt"))
    encoder = vocabulary(checkpoint.folder)
    model = opened(checkpoint.folder)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    text = " ".join(f"{line} he he" for line in check_texts(["tg"])["tg"])
    ids = torch.tensor(encoder.ids(text)[: 16 * 64]).reshape(16, 64)
    for _ in range(30):
        optimiser.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimiser.step()
    model.save_pretrained(checkpoint.folder)
    return checkpoint


@pytest.fixture(scope="module")
def trimmed(learnt, tmp_path_factory):
    into = tmp_path_factory.mktemp("trimmed") / "checkpoint"
    told = []
    made = checkpoint_trim(checkpoint=learnt, languages=("tg",), into=into, progress=told.append, trimming=FEW)
    assert told == sorted(told)
    assert told[-1] == 1.0
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("is_tied", [True, False])
def test_a_layer_at_a_time_costs_text_what_the_whole_model_says(learnt, tmp_path, dtype, is_tied):
    model = opened(learnt.folder)
    if not is_tied:
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.flip(0))
    model.to(dtype).save_pretrained(tmp_path)
    # Pieces that do not divide the vocabulary.
    stream, encoder = LayerStream(tmp_path, rows_at_once=100), vocabulary(learnt.folder)
    # Of like and of unlike length, and one longer than the sliding window.
    texts = [encoder.ids(text) for text in [*LINES, " ".join(LINES * 3)]]
    assert len(texts[-1]) > model.config.sliding_window
    states = stream.states([stream.embedded(ids) for ids in texts])
    found = [float(stream.losses(s[:-1], torch.tensor(ids[1:])).sum()) for s, ids in zip(states, texts, strict=True)]
    whole = opened(tmp_path)
    assert found == pytest.approx([nats(whole, ids) for ids in texts], rel=1e-4)


def test_a_trim_that_keeps_the_tokens_of_a_text_only_helps_and_its_figures_are_kept(learnt, trimmed):
    losses = losses_open(trimmed.folder)
    assert losses == measure(learnt.folder, trimmed.folder, check_texts(["tg"]))
    assert losses.keys() == {"tg"}
    # All of its tokens stay, and the chances of the two that went are shared out.
    assert losses["tg"].trimmed < losses["tg"].whole
    assert losses["tg"].increase < 0


def test_the_figures_are_those_of_both_checkpoints_by_a_plain_softmax(learnt, trimmed):
    # "he" went: it is two tokens now. Of the text that is checked the line with it is a known part.
    lines = [" ".join(LINES * 12), "салом he дӯст"]
    (loss,) = measure(learnt.folder, trimmed.folder, {"tg": lines}, allowed=math.inf).values()
    encoders, models = zip(*((vocabulary(c.folder), opened(c.folder)) for c in (learnt, trimmed)), strict=True)
    tokenizer = encoders[0].tokenizer
    prose = lines[0][: tokenizer.encode(lines[0], add_special_tokens=False).offsets[95][1]]
    of_prose, of_line = (
        [nats(model, encoder.ids(text)) for encoder, model in zip(encoders, models, strict=True)]
        for text in (prose, lines[1])
    )
    size, whole_size = len(prose.encode()), sum(len(line.encode()) for line in lines)
    trimmed_nats = of_prose[1] + (of_line[1] - of_line[0]) * size / whole_size
    assert loss.whole == pytest.approx(of_prose[0] / size / math.log(2), rel=1e-4)
    assert loss.trimmed == pytest.approx(trimmed_nats / size / math.log(2), rel=1e-4)
    assert loss.increase == pytest.approx(math.exp((trimmed_nats - of_prose[0]) / 96) - 1, abs=1e-4)


def test_rows_that_stand_at_other_tokens_are_refused_with_the_figures(learnt, trimmed, tmp_path):
    for path in trimmed.folder.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    weights = load_file(tmp_path / "model.safetensors")
    weights[EMBEDDING] = weights[EMBEDDING].roll(1, 0).contiguous()
    (tmp_path / "model.safetensors").unlink()
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(TrimPerplexityTooHigh) as caught:
        measure(learnt.folder, tmp_path, check_texts(["tg"]))
    fields = caught.value.fields
    assert fields["language"] == "tg"
    assert fields["allowed"] == 0.005
    assert fields["trimmed"] > 1.1 * fields["whole"] > 0
    assert fields["increase"] > 0.5


def test_words_that_cost_more_than_allowed_are_refused_at_the_bound_and_not_below_it(learnt, trimmed):
    texts = {"tg": ["салом дӯст " * 20, *["he he he he"] * 40]}
    (loss,) = measure(learnt.folder, trimmed.folder, texts, allowed=math.inf).values()
    assert loss.increase > 0.005
    with pytest.raises(TrimPerplexityTooHigh) as caught:
        measure(learnt.folder, trimmed.folder, texts)
    assert caught.value.fields == {
        "language": "tg",
        "allowed": 0.005,
        **{name: round(value, 4) for name, value in asdict(loss).items()},
    }
    assert measure(learnt.folder, trimmed.folder, texts, allowed=loss.increase) == {"tg": loss}


def test_weights_that_are_not_finite_are_refused(learnt, trimmed, tmp_path):
    for path in trimmed.folder.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    weights = load_file(tmp_path / "model.safetensors")
    weights[EMBEDDING][3] = math.nan
    (tmp_path / "model.safetensors").unlink()
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(TrimPerplexityTooHigh):
        measure(learnt.folder, tmp_path, check_texts(["tg"]))

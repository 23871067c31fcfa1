"""Judges a trimmed vocabulary by what text costs the model with it, measured on the trimmed checkpoint's own rows.

Where the tokens are the same, a smaller vocabulary can only help: the model sees the same rows, and the same odds are
shared among fewer words. So prose tells whether each row went with its token. What a trim costs is in the words that
are spelt by more tokens than before, and these are too rare for any excerpt that is read in seconds: their cost is
measured on lines that have them, and counted as often as such lines come in all the text that is checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch
from tokenizers import Tokenizer

from central.releases.packaging.checkpoint_card import settings_write
from central.releases.packaging.layer_stream import LayerStream
from federation.errors import CapacityError
from federation.inference.package import VocabularyLoss
from federation.tokenizer_file import BOS

ALLOWED_INCREASE = 0.005
# Counts up whenever other text is measured, or otherwise: kept steps of a build hold the figures.
MEASURE = "1"
# With the lines below 13 s of one core on Gemma 3 270M. Rows at the wrong tokens cost whole nats a token, which a few
# sentences show.
_PROSE_TOKENS = 96
# What a line costs more scatters by 6 nats, so that the mean of so many is known to 1.6. It is 2 in English, where
# nearly 6 would reach the bound.
_CHANGED_LINES = 16
_FILE = "trim.json"
_BODY, _WHOLE_HEAD = 0.45, 0.8


class TrimPerplexityTooHigh(CapacityError):
    """In `language` the trimmed vocabulary raises the perplexity by `increase`, more than `allowed` (0.005 is 0.5%).

    `whole` and `trimmed` are what a byte of text costs in bits with each of the two.
    """

    code = "trim_perplexity_too_high"


@dataclass(frozen=True)
class Vocabulary:
    """A prepared checkpoint's folder and the tokenizer that lies there."""

    folder: Path
    tokenizer: Tokenizer

    def ids(self, text: str) -> list[int]:
        """Return the ids of `text` after the one that begins every text."""
        return [self.tokenizer.token_to_id(BOS), *self.tokenizer.encode(text, add_special_tokens=False).ids]


@dataclass(frozen=True)
class _Excerpt:
    """What is measured of a language's lines: `prose`, and some of the lines whose tokens are not as before.

    `changed_share` is how many such lines come in a byte of all the lines.
    """

    prose: str
    changed: Sequence[str]
    changed_share: float

    @property
    def texts(self) -> list[str]:
        return [self.prose, *self.changed]


def trim_perplexity(
    *,
    before: Vocabulary,
    after: Vocabulary,
    texts: Mapping[str, Sequence[str]],
    progress: Callable[[float], None],
    allowed: float = ALLOWED_INCREASE,
) -> dict[str, VocabularyLoss]:
    """Return what `after`, the trimmed `before`, costs on lines of text by language; each begins with prose.

    The layers are those of `before`: they were copied byte by byte. Of memory it takes one layer's worth.

    Raises:
        TrimPerplexityTooHigh: a language's perplexity rises by more than `allowed`.
    """
    excerpts = {language: _excerpt(before.tokenizer, after.tokenizer, lines) for language, lines in texts.items()}
    chosen = [text for excerpt in excerpts.values() for text in excerpt.texts]
    nats = iter(_nats(before, after, chosen, progress))
    losses = {
        language: _loss(excerpt, [next(nats) for _ in excerpt.texts], tokens=len(before.ids(excerpt.prose)) - 1)
        for language, excerpt in excerpts.items()
    }
    for language, loss in losses.items():
        # Weights that are not finite give no number, which is not within the bound either.
        if not loss.increase <= allowed:
            figures = {name: round(value, 4) for name, value in asdict(loss).items()}
            raise TrimPerplexityTooHigh(language=language, allowed=allowed, **figures)
    return losses


def losses_record(losses: Mapping[str, VocabularyLoss], *, folder: Path) -> None:
    """Keep `losses` with the trimmed checkpoint in `folder`, where `losses_open` finds them."""
    settings_write(folder / _FILE, {language: asdict(loss) for language, loss in losses.items()})


def losses_open(folder: Path) -> dict[str, VocabularyLoss]:
    """Return what `losses_record` has kept in `folder`."""
    kept = json.loads((folder / _FILE).read_text("utf-8"))
    return {language: VocabularyLoss(**values) for language, values in kept.items()}


def _excerpt(before: Tokenizer, after: Tokenizer, lines: Sequence[str]) -> _Excerpt:
    old, new = (each.encode_batch_fast(list(lines), add_special_tokens=False) for each in (before, after))
    changed = [line for line, was, now in zip(lines, old, new, strict=True) if was.tokens != now.tokens]
    return _Excerpt(
        prose=_beginning(before, lines),
        changed=changed[:: math.ceil(len(changed) / _CHANGED_LINES) or 1],
        changed_share=len(changed) / sum(len(line.encode()) for line in lines),
    )


def _beginning(tokenizer: Tokenizer, lines: Sequence[str]) -> str:
    """Return the first `_PROSE_TOKENS` tokens of `lines` as text."""
    # Far more characters than so many tokens have, so that not everything is encoded once more.
    text = "\n".join(lines)[: _PROSE_TOKENS * 64]
    ends = [end for _, end in tokenizer.encode(text, add_special_tokens=False).offsets]
    return text[: ends[:_PROSE_TOKENS][-1]]


def _nats(
    before: Vocabulary, after: Vocabulary, texts: Sequence[str], progress: Callable[[float], None]
) -> list[tuple[float, float]]:
    """Return the nats that each of `texts` costs with either vocabulary."""
    whole, trimmed = LayerStream(before.folder), LayerStream(after.folder)
    ids = [[each.ids(text) for text in texts] for each in (before, after)]
    old, new = [whole.embedded(each) for each in ids[0]], [trimmed.embedded(each) for each in ids[1]]
    # The same rows in the same order bring the layers to the same states.
    other = [number for number in range(len(texts)) if not torch.equal(old[number], new[number])]
    states = whole.states([*old, *(new[number] for number in other)], progress=lambda part: progress(_BODY * part))
    again = dict(zip(other, states[len(texts) :], strict=True))
    before_nats = _text_nats(whole, states[: len(texts)], ids[0])
    progress(_WHOLE_HEAD)
    after_nats = _text_nats(trimmed, [again.get(n, states[n]) for n in range(len(texts))], ids[1])
    progress(1.0)
    return list(zip(before_nats, after_nats, strict=True))


def _text_nats(stream: LayerStream, states: Sequence[torch.Tensor], ids: Sequence[Sequence[int]]) -> list[float]:
    """Return the nats of each text, all of them in one pass over the head."""
    targets = torch.tensor([number for text in ids for number in text[1:]])
    losses = stream.losses(torch.cat([text[:-1] for text in states]), targets)
    return [float(text.double().sum()) for text in losses.split([len(text) - 1 for text in ids])]


def _loss(excerpt: _Excerpt, nats: Sequence[tuple[float, float]], *, tokens: int) -> VocabularyLoss:
    """Return the loss by the `nats` of prose and changed lines; `tokens` are the prose's, of the whole vocabulary."""
    (whole, trimmed), *changed = nats
    size_bytes = len(excerpt.prose.encode())
    if changed:
        trimmed += fmean(after - before for before, after in changed) * excerpt.changed_share * size_bytes
    return VocabularyLoss(
        whole=whole / size_bytes / math.log(2),
        trimmed=trimmed / size_bytes / math.log(2),
        increase=math.expm1((trimmed - whole) / tokens),
    )

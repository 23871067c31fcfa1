"""Judges a trimmed vocabulary: the text of each language must come out as the same tokens as before.

The texts are the Declaration of Human Rights, the chat tuning's own questions and answers, and, where wordfreq has the
language, words drawn as often as they are used from its whole list: most of that list had no say in what stays.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tokenizers import Encoding, Tokenizer
from wordfreq import available_languages, get_frequency_dict

from central.releases.evaluation_set import FOLDER
from central.releases.packaging.chat_tuning import PAIRS
from federation.errors import CapacityError

LEAST_SHARE = 0.999
_DRAWN_WORDS = 60_000
_WORDS_A_LINE = 12
_SEED = 20
# About as in prose: every seventh word begins with a capital, every hundredth is written in capitals.
_FORMS = (str, str.capitalize, str.upper)
_FORM_WEIGHTS = (85, 14, 1)


class TrimTooLossy(CapacityError):
    """Of the tokens of text in `language` only `share` (0 to 1) came out of the trimmed vocabulary as before."""

    code = "trim_too_lossy"


def trim_check(
    *, before: Tokenizer, after: Tokenizer, texts: Mapping[str, Sequence[str]], least_share: float = LEAST_SHARE
) -> dict[str, float]:
    """Return the share (0 to 1) of tokens of `texts`, by language, that `after` makes as `before` does.

    Raises:
        TrimTooLossy: one of them is under `least_share`.
    """
    shares = {language: share_same(before, after, lines) for language, lines in texts.items()}
    for language, share in shares.items():
        if share < least_share:
            raise TrimTooLossy(language=language, share=share)
    return shares


def share_same(before: Tokenizer, after: Tokenizer, lines: Iterable[str]) -> float:
    """Return the share (0 to 1) of the tokens of `before` that `after` makes too, of the same characters."""
    same = total = 0
    for line in lines:
        old = _placed(before.encode(line, add_special_tokens=False))
        same += (old & _placed(after.encode(line, add_special_tokens=False))).total()
        total += old.total()
    return same / total if total else 1.0


def check_texts(languages: Iterable[str]) -> dict[str, list[str]]:
    """Return the lines of text, by language, that a vocabulary for `languages` is judged on."""
    return {language: [*_declaration(language), *_tuning(language), *_drawn(language)] for language in languages}


def _placed(encoding: Encoding) -> Counter[tuple[str, tuple[int, int]]]:
    return Counter(zip(encoding.tokens, encoding.offsets, strict=True))


def _declaration(language: str) -> list[str]:
    return (FOLDER / f"udhr.{language}.txt").read_text("utf-8").splitlines()


def _tuning(language: str) -> list[str]:
    entries = [json.loads(line) for line in PAIRS.read_text("utf-8").splitlines()]
    spoken = [entry for entry in entries if entry.pop("language") == language]
    return [text for entry in spoken for text in entry.values()]


def _drawn(language: str) -> list[str]:
    """Return lines of words drawn from wordfreq's list, each as often as it is used; none if it has no list."""
    if language not in available_languages():
        return []
    frequencies = get_frequency_dict(language)
    draw = random.Random(_SEED)  # nosec B311 # noqa: S311 - a sample, no secret
    words = draw.choices(list(frequencies), list(frequencies.values()), k=_DRAWN_WORDS)
    forms = draw.choices(_FORMS, _FORM_WEIGHTS, k=_DRAWN_WORDS)
    written = [form(word) for form, word in zip(forms, words, strict=True)]
    return [" ".join(written[at : at + _WORDS_A_LINE]) for at in range(0, _DRAWN_WORDS, _WORDS_A_LINE)]

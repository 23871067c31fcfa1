"""Decides which tokens of a vocabulary a set of languages needs.

The rules, in order: tokens that are no text stay (control, user-defined and byte tokens), but for those that stand for
nothing; tokens without a letter stay; all tokens with a Cyrillic letter stay for Tajik and Russian; of the Latin script
stays what frequent words and formulas use; and for each of them all that its merging passes through. What goes is spelt
by smaller tokens, at worst by bytes, so that every text can still be written and read.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice

from tokenizers import Tokenizer
from wordfreq import iter_wordlist

from central.releases.packaging.gguf_tokenizer import SPACE
from central.releases.packaging.trim_tokenizer import TokenizerFile, merge_paths

_WITH_CYRILLIC = frozenset({"tg", "ru"})
# Greek letters stand in the formulas of every language's school books.
_SINGLE = frozenset({"CYRILLIC", "LATIN", "GREEK"})
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
# Places that Google left free for later: in a checkpoint whose settings and chat template name none, no such row was
# ever trained.
_UNUSED = re.compile(r"<unused\d+>")
# A text model has no image tower, so that nothing can stand where these do; the last of them has no row at all in the
# embedding of Google's own text models.
_IMAGE = frozenset({"<start_of_image>", "<end_of_image>", "<image_soft_token>"})
# The page turns these commands of TeX into formulas; few of them are words, and a model that has to spell one may miss.
# fmt: off
_FORMULA_WORDS = (
    "alpha", "angle", "approx", "bar", "begin", "beta", "cap", "cases", "cdot", "circ", "cos", "cup", "delta",
    "Delta", "div", "dot", "end", "epsilon", "equiv", "forall", "frac", "gamma", "geq", "hat", "implies", "in",
    "infty", "int", "lambda", "Lambda", "ldots", "leq", "left", "lim", "ln", "log", "mathbb", "mathbf", "mathrm",
    "mu", "neq", "notin", "nu", "omega", "Omega", "overline", "overrightarrow", "parallel", "perp", "phi", "pi",
    "pm", "prod", "quad", "rho", "right", "rightarrow", "Rightarrow", "sigma", "sin", "sqrt", "subset", "sum",
    "tan", "tau", "text", "theta", "times", "to", "triangle", "vec",
)
# fmt: on


@dataclass(frozen=True)
class Trimming:
    """How many of the most frequent words keep their tokens; the settings below were chosen on Gemma 3's vocabulary.

    `english` counts English words. Without English, `latin` counts the words in Latin letters that Russian text carries
    (they stand for Tajik's too, of which wordfreq has no list). The first `capitals` keep those of their upper case.
    """

    english: int = 75_000
    latin: int = 5_000
    capitals: int = 40_000


def trim_settings(languages: Iterable[str], trimming: Trimming) -> str:
    """Return, as one line, all that the choice of tokens depends on besides the vocabulary."""
    return f"{sorted(set(languages))} {trimming} wordfreq {version('wordfreq')}"


def tokens_choose(
    tokenizer: TokenizerFile,
    *,
    encoder: Tokenizer,
    languages: AbstractSet[str],
    trimming: Trimming,
    referred: AbstractSet[int],
    mentions: str,
) -> set[str]:
    """Return the tokens that stay: each can be made from what stays, as `encoder` (the same vocabulary) makes it.

    `referred` are ids that settings name and `mentions` is text that may name tokens (a chat template); what they name
    stays, but for an image token that only the template names.
    """
    kept = {token for token, number in tokenizer.ids.items() if number in referred}
    kept |= {token for token in tokenizer.added if not _stands_for_nothing(token, mentions)}
    kept |= {token for token in tokenizer.ids.keys() - tokenizer.added if _stays(token, languages)}
    words = _forms(_latin_words(languages, trimming), trimming.capitals)
    kept |= _tokens_of([*words, *_FORMULA_WORDS], encoder)
    paths = merge_paths(kept - tokenizer.added, merges=tokenizer.merges)
    return kept | (set(paths) & tokenizer.ids.keys())


def _stands_for_nothing(token: str, mentions: str) -> bool:
    return token in _IMAGE or (_UNUSED.fullmatch(token) is not None and token not in mentions)


def _stays(token: str, languages: AbstractSet[str]) -> bool:
    """Whether a token of text (or a byte) stays whatever words there are."""
    letters = [_script(character) for character in token if unicodedata.category(character).startswith("L")]
    if not letters or _BYTE.fullmatch(token):
        return True
    if len(token.removeprefix(SPACE)) == 1:
        return letters[0] in _SINGLE
    return "CYRILLIC" in letters and not _WITH_CYRILLIC.isdisjoint(languages)


@functools.cache
def _script(character: str) -> str:
    """Return the script of a letter, such as LATIN; a letter in a variant form (ª, µ, ℓ) has that of the plain one."""
    plain = unicodedata.normalize("NFKC", character)
    return unicodedata.name(plain[0], "").partition(" ")[0]


def _forms(words: Iterable[str], capitals: int) -> Iterator[str]:
    """Yield each word as it may stand in text: small, with a capital, in capitals; after a space and without one."""
    for rank, word in enumerate(words):
        for form in {word, word.capitalize(), word.upper() if rank < capitals else word}:
            yield form
            yield f" {form}"


def _latin_words(languages: AbstractSet[str], trimming: Trimming) -> Iterator[str]:
    """Yield words in Latin letters, the most frequent first."""
    if "en" in languages:
        # The Latin that Russian text carries is English for the most part: adding its list changed nothing measurable.
        return islice(iter_wordlist("en"), trimming.english)
    return islice((word for word in iter_wordlist("ru") if "LATIN" in map(_script, word)), trimming.latin)


def _tokens_of(forms: list[str], encoder: Tokenizer) -> set[str]:
    encodings = encoder.encode_batch_fast(forms, add_special_tokens=False)
    ids = {number for encoding in encodings for number in encoding.ids}
    return {str(encoder.id_to_token(number)) for number in ids}

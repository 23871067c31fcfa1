"""Lets the model itself write the text on which its matrices are weighed: no corpus, and its own mix of languages.

Source: Liu et al. 2024, "LLM-QAT: Data-Free Quantization Aware Training for Large Language Models".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from wordfreq import available_languages, get_frequency_dict

from federation.inference.engine import Engine
from federation.inference.prompt import ChatTokenizer
from federation.inference.sampling import Sampling

OPENINGS = (
    "Мактаби мо дар",
    "Тоҷикистон кишварест, ки",
    "Муаллим ба хонандагон гуфт:",
    "Об барои",
    "Дар дарси математика",
    "Адабиёти тоҷик",
    "Школа находится",
    "На уроке физики",
    "Вода состоит из",
    "Учитель объяснил, что",
    "The history of",
    "Water is",
    "In mathematics, a",
    "Plants need",
    "Everyone has the",
    "The teacher said",
)
TOKENS_EACH = 512
_FREQUENT_WORDS = 50_000
_TEMPERATURE = 1.0
_TOP_P = 0.95


def calibration_write(engine: Engine, *, seed: int, progress: Callable[[float], None]) -> list[list[int]]:
    """Return a text of token ids for each opening, BOS first, drawn by `engine`, which has a row for each.

    The same engine and seed give the same texts.
    """
    texts, generations = [], {}
    for number, opening in enumerate(OPENINGS):
        prompt = [engine.tokenizer.bos, *engine.tokenizer.words(opening)]
        sampling = Sampling(temperature=_TEMPERATURE, top_p=_TOP_P, seed=seed + number)
        room = min(TOKENS_EACH, engine.card.context_tokens - len(prompt))
        generations[engine.begin_ids(prompt, max_new_tokens=room, sampling=sampling)] = number
        texts.append(prompt)
    for step in range(TOKENS_EACH + len(OPENINGS)):
        for generation, token in engine.step():
            texts[generations[generation]].append(token)
        progress(step / (TOKENS_EACH + len(OPENINGS)))
    for generation in generations:
        engine.end(generation)
    return texts


def language_shares(tokenizer: ChatTokenizer, languages: Sequence[str], *, words: int) -> list[NDArray[np.float32]]:
    """Return, for each language whose word frequencies are known, how often each of `words` token ids comes in it.

    The model's own texts are short and miss most words; these do not.
    """
    known = [language for language in languages if language in available_languages()]
    return [_shares(tokenizer, language, words) for language in known]


def _shares(tokenizer: ChatTokenizer, language: str, words: int) -> NDArray[np.float32]:
    shares = np.zeros(words, np.float64)
    frequencies = get_frequency_dict(language)
    for word in sorted(frequencies, key=lambda each: (-frequencies[each], each))[:_FREQUENT_WORDS]:
        np.add.at(shares, tokenizer.words(f" {word}"), frequencies[word])
    return (shares / shares.sum()).astype(np.float32)

"""Trims a checkpoint's vocabulary to what some languages use: the embedding and the head lose the rows of the rest.

On a small model these rows are most of the weights, and all of them are read for every token of an answer. Text of the
languages comes out as the same tokens as before, so that the model answers as it did; `trim_check` holds it to that,
and `trim_perplexity` to what the rest may cost.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from central.releases.packaging.checkpoint_card import (
    TOKENIZER_FILE,
    Checkpoint,
    checkpoint_record,
    settings_write,
)
from central.releases.packaging.errors import CheckpointIncomplete
from central.releases.packaging.kept_weights import kept_trim
from central.releases.packaging.trim_check import check_texts, trim_check
from central.releases.packaging.trim_perplexity import Vocabulary, losses_record, trim_perplexity
from central.releases.packaging.trim_settings import ADDED_TOKENS, ids_referred, ids_renumber, tokenizer_config_trim
from central.releases.packaging.trim_tokenizer import tokenizer_read, tokenizer_trim
from central.releases.packaging.trim_weights import embedding_rows, weights_trim
from central.releases.packaging.trim_words import Trimming, tokens_choose, trim_settings
from central.releases.recipe import LANGUAGES

# Counts up whenever the rules choose other tokens: kept steps of a build are found by the digest.
_VERSION = "1"
_MODEL_SETTINGS = ("config.json", "generation_config.json")
_TOKENIZER_CONFIG = "tokenizer_config.json"
_SETTINGS = (*_MODEL_SETTINGS, _TOKENIZER_CONFIG)
_TEMPLATE = "chat_template.jinja"
_CHOSEN, _CHECKED, _COPIED = 0.3, 0.4, 0.6
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _TrimmedVocabulary:
    """Each kept token's new id by its old one, both tokenizers, and the lines by language that they are judged on."""

    new_ids: Mapping[int, int]
    before: Tokenizer
    after: Tokenizer
    texts: Mapping[str, Sequence[str]]


def checkpoint_trim(
    *,
    checkpoint: Checkpoint,
    languages: Sequence[str],
    into: Path,
    progress: Callable[[float], None],
    trimming: Trimming | None = None,
) -> Checkpoint:
    """Leave a copy of `checkpoint` at `into` whose vocabulary is what `languages` use, and describe it.

    What that cost is kept beside it, for `losses_open`.

    `languages` are some of `LANGUAGES`; their order does not matter. The same checkpoint and settings give the same
    files. A folder that was at `into` is replaced at the end; after any error it is as it was.

    Raises:
        CheckpointIncomplete: a setting names a token that the checkpoint does not have, or a file or tensor is missing.
        UnsupportedArchitecture: the tokenizer is not Gemma's kind.
        TrimTooLossy: text of a language came out as other tokens.
        TrimPerplexityTooHigh: text of a language costs the model more than it did.
        ValueError: a language is not one of `LANGUAGES`, or there is none.
    """
    chosen = frozenset(languages)
    if not chosen or not chosen.issubset(LANGUAGES):
        raise ValueError(f"languages must be some of {LANGUAGES}, not {sorted(chosen)}")
    trimming = trimming or Trimming()
    trimmed = replace(checkpoint, folder=into, digest=f"{checkpoint.digest}+trim-{trim_digest(languages, trimming)}")
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{into.name}-", dir=into.parent) as scratch:
        work = Path(scratch) / "folder"
        work.mkdir()
        vocabulary = _vocabulary_trim(checkpoint.folder, work, languages=chosen, trimming=trimming, progress=progress)
        rows = sorted(vocabulary.new_ids)
        saved_bytes = weights_trim(
            folder=checkpoint.folder,
            into=work,
            rows=rows,
            progress=lambda part: progress(_CHECKED + (_COPIED - _CHECKED) * part),
        )
        _log.info("trim: the weights are %d bytes smaller", saved_bytes)
        checkpoint_record(replace(trimmed, folder=work))
        # The integers count only under the digest that the card now has.
        kept_trim(source=checkpoint.folder, into=work, rows=rows)
        losses = trim_perplexity(
            before=Vocabulary(checkpoint.folder, vocabulary.before),
            after=Vocabulary(work, vocabulary.after),
            texts=vocabulary.texts,
            progress=lambda part: progress(_COPIED + (1 - _COPIED) * part),
        )
        _log.info("trim: what it costs, by language: %s", losses)
        losses_record(losses, folder=work)
        if into.exists():
            shutil.rmtree(into)
        work.rename(into)
    return trimmed


def trim_digest(languages: Iterable[str], trimming: Trimming) -> str:
    """Return 12 hex digits that name the languages, the settings, the list of words and this way of trimming."""
    return hashlib.sha256(f"{_VERSION} {trim_settings(languages, trimming)}".encode()).hexdigest()[:12]


def _vocabulary_trim(
    folder: Path, work: Path, *, languages: AbstractSet[str], trimming: Trimming, progress: Callable[[float], None]
) -> _TrimmedVocabulary:
    """Write tokenizer and settings of `folder` anew into `work`."""
    settings = {name: _json_read(folder / name) for name in _SETTINGS if (folder / name).is_file()}
    tokenizer = tokenizer_read(folder / TOKENIZER_FILE)
    before = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    referred = {number for name in _MODEL_SETTINGS for number in ids_referred(settings.get(name, {}))}
    kept = tokens_choose(
        tokenizer,
        encoder=before,
        languages=languages,
        trimming=trimming,
        referred=referred,
        mentions=_mentions(folder, settings),
    )
    _check_rows(folder, {tokenizer.ids[token] for token in kept} | referred, known=set(tokenizer.ids.values()))
    document, new_ids = tokenizer_trim(tokenizer, kept=kept)
    _log.info("trim: %d of %d tokens stay", len(new_ids), len(tokenizer.ids))
    progress(_CHOSEN)
    (work / TOKENIZER_FILE).write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")), "utf-8")
    after = Tokenizer.from_file(str(work / TOKENIZER_FILE))
    texts = check_texts(sorted(languages))
    shares = trim_check(before=before, after=after, texts=texts)
    _log.info("trim: the same tokens as before, by language: %s", shares)
    progress(_CHECKED)
    _settings_write(folder, work, settings, new_ids=new_ids, dropped=tokenizer.ids.keys() - kept)
    return _TrimmedVocabulary(new_ids, before, after, texts)


def _mentions(folder: Path, settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the text in which a checkpoint may name one of its tokens: its chat template and the tokens' roles."""
    roles = {name: value for name, value in settings.get(_TOKENIZER_CONFIG, {}).items() if name != ADDED_TOKENS}
    template = folder / _TEMPLATE
    return json.dumps(roles) + (template.read_text("utf-8") if template.is_file() else "")


def _check_rows(folder: Path, numbers: AbstractSet[int], *, known: AbstractSet[int]) -> None:
    """Refuse a checkpoint without a token that its settings name, or without the row of a token that stays."""
    rows = embedding_rows(folder)
    for number in sorted(numbers):
        if number not in known or number >= rows:
            raise CheckpointIncomplete(source=str(folder), missing=f"token {number}")


def _settings_write(
    folder: Path,
    work: Path,
    settings: Mapping[str, Mapping[str, Any]],
    *,
    new_ids: Mapping[int, int],
    dropped: AbstractSet[str],
) -> None:
    for name, document in settings.items():
        if name == _TOKENIZER_CONFIG:
            changed = tokenizer_config_trim(document, new_ids=new_ids, dropped=dropped)
        else:
            changed = ids_renumber(document, new_ids)
        settings_write(work / name, changed)
    if (folder / _TEMPLATE).is_file():
        shutil.copyfile(folder / _TEMPLATE, work / _TEMPLATE)


def _json_read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise CheckpointIncomplete(source=str(path.parent), missing=path.name) from error
    return document

"""Rewrites the settings beside a checkpoint's weights for a vocabulary with other ids and fewer tokens.

Pure rules over the parsed `config.json`, `generation_config.json` and `tokenizer_config.json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

ADDED_TOKENS = "added_tokens_decoder"
# `_index` ends the settings of a model that sees images, such as `image_token_index`.
_ID_ENDINGS = ("_token_id", "_token_index")


def ids_referred(settings: Mapping[str, Any]) -> Iterator[int]:
    """Yield the token ids that `config.json` or `generation_config.json` names."""
    for name, value in settings.items():
        if name.endswith(_ID_ENDINGS) and value is not None:
            yield from value if isinstance(value, list) else [value]


def ids_renumber(settings: Mapping[str, Any], new_ids: Mapping[int, int]) -> dict[str, Any]:
    """Return `config.json` or `generation_config.json` with new ids; a model's `vocab_size` is their number."""
    renumbered = dict(settings)
    for name, value in settings.items():
        if name.endswith(_ID_ENDINGS) and value is not None:
            renumbered[name] = [new_ids[number] for number in value] if isinstance(value, list) else new_ids[value]
    if "vocab_size" in settings:
        renumbered["vocab_size"] = len(new_ids)
    return renumbered


def tokenizer_config_trim(
    settings: Mapping[str, Any], *, new_ids: Mapping[int, int], dropped: AbstractSet[str]
) -> dict[str, Any]:
    """Return `tokenizer_config.json` with new ids and without the names of `dropped` tokens.

    transformers adds a token that is named there and not in the vocabulary again, with an id that has no row.
    """
    named: dict[str, Any] = _without({name: value for name, value in settings.items() if name != ADDED_TOKENS}, dropped)
    if ADDED_TOKENS in settings:
        decoder = {int(number): token for number, token in settings[ADDED_TOKENS].items()}
        named[ADDED_TOKENS] = {str(new_ids[n]): token for n, token in decoder.items() if n in new_ids}
    return named


def _without(value: Any, dropped: AbstractSet[str]) -> Any:  # noqa: ANN401 - any JSON
    """Return `value` without the entries, at any depth, that are a dropped token or its description."""
    if isinstance(value, dict):
        return {name: _without(part, dropped) for name, part in value.items() if not _is_dropped(part, dropped)}
    if isinstance(value, list):
        return [_without(part, dropped) for part in value if not _is_dropped(part, dropped)]
    return value


def _is_dropped(value: Any, dropped: AbstractSet[str]) -> bool:  # noqa: ANN401 - any JSON
    content = value.get("content") if isinstance(value, dict) else value
    return isinstance(content, str) and content in dropped

"""Reads a checkpoint's tokenizer.json as a vocabulary with merges, and writes it with fewer words.

It knows byte-fallback BPE, as Gemma's is, and the places in the file that hold token ids. It does not know which words
are worth keeping.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from central.releases.packaging.errors import CheckpointIncomplete, UnsupportedArchitecture

Merge = tuple[str, str]


@dataclass(frozen=True)
class TokenizerFile:
    """A parsed tokenizer.json: `ids` are all tokens' ids, `added` the control and user-defined tokens among them.

    `merges` come best first. `document` is what the file holds.
    """

    document: Mapping[str, Any]
    ids: Mapping[str, int]
    added: frozenset[str]
    merges: tuple[Merge, ...]


def tokenizer_read(path: Path) -> TokenizerFile:
    """Return what the tokenizer.json at `path` holds.

    Raises:
        CheckpointIncomplete: there is no readable file.
        UnsupportedArchitecture: it is not BPE with byte fallback, or its post-processor is not a template.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointIncomplete(source=str(path.parent), missing=path.name) from error
    model = document.get("model", {})
    processor = document.get("post_processor") or {"type": "TemplateProcessing"}
    kinds = (model.get("type", "BPE"), bool(model.get("byte_fallback")), processor["type"])
    if kinds != ("BPE", True, "TemplateProcessing"):
        raise UnsupportedArchitecture(source=str(path), architecture=f"tokenizer {kinds}", supported="Gemma 3")
    added = {entry["content"]: entry["id"] for entry in document["added_tokens"]}
    return TokenizerFile(
        document=document,
        ids={**model["vocab"], **added},
        added=frozenset(added),
        merges=tuple(_merge(entry) for entry in model["merges"]),
    )


def merge_paths(pieces: Iterable[str], *, merges: Iterable[Merge]) -> Iterator[str]:
    """Yield what the merging of each of `pieces` passes through: its characters, each intermediate token, its result.

    Merging takes the best merge first and, of equals, the leftmost. Inside a longer text the same tokens come in the
    same order, because nothing was merged across a final token's ends; so a token whose path stays is found again.

    Source: Sennrich, Haddow and Birch 2016, algorithm 1.
    """
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    for piece in pieces:
        yield from piece
        yield from map("".join, _merging(piece, ranks))


def _merging(piece: str, ranks: Mapping[Merge, int]) -> Iterator[Merge]:
    """Yield the merges that `piece` by itself goes through, in their order."""
    parts = list(piece)
    while True:
        pairs = [(ranks[pair], at) for at, pair in enumerate(pairwise(parts)) if pair in ranks]
        if not pairs:
            return
        _, at = min(pairs)
        yield parts[at], parts[at + 1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def tokenizer_trim(tokenizer: TokenizerFile, *, kept: AbstractSet[str]) -> tuple[dict[str, Any], dict[int, int]]:
    """Return tokenizer.json with the tokens `kept` only, and each kept token's new id by its old one.

    New ids are dense and in the old order; `kept` has all that the merging of its tokens passes through. A merge stays
    if that of a kept token takes it: each token is made in one way only, whatever stands around it (`merge_paths`), and
    the file lists every way to cut it in two.
    """
    order = sorted((number, token) for token, number in tokenizer.ids.items() if token in kept)
    new_ids = {number: position for position, (number, _) in enumerate(order)}
    document = tokenizer_renumber(tokenizer, new_ids=new_ids)
    ranks = {merge: rank for rank, merge in enumerate(tokenizer.merges)}
    # Control and user-defined tokens are found whole, before anything is merged.
    words = (tokenizer.document["model"]["vocab"].keys() & kept) - tokenizer.added
    taken = {merge for word in words for merge in _merging(word, ranks)}
    document["model"]["merges"] = [pair for pair in tokenizer.merges if pair in taken]
    return document, new_ids


def tokenizer_renumber(tokenizer: TokenizerFile, *, new_ids: Mapping[int, int]) -> dict[str, Any]:
    """Return tokenizer.json with the tokens whose old ids `new_ids` has, under their new ones, and all merges."""
    order = sorted((new_ids[number], token) for token, number in tokenizer.ids.items() if number in new_ids)
    document = copy.deepcopy({name: part for name, part in tokenizer.document.items() if name != "model"})
    model = {name: part for name, part in tokenizer.document["model"].items() if name != "vocab"}
    vocabulary = tokenizer.document["model"]["vocab"]
    model["vocab"] = {token: number for number, token in order if token in vocabulary}
    document["added_tokens"] = [
        entry | {"id": new_ids[entry["id"]]} for entry in document["added_tokens"] if entry["id"] in new_ids
    ]
    for entry in (document.get("post_processor") or {}).get("special_tokens", {}).values():
        entry["ids"] = [new_ids[number] for number in entry["ids"]]
    if document.get("padding"):
        document["padding"]["pad_id"] = new_ids[document["padding"]["pad_id"]]
    return document | {"model": model}


def _merge(entry: str | list[str]) -> Merge:
    # Files of older versions of the library join the two halves by a space, which no token of Gemma contains.
    left, right = entry.split(" ") if isinstance(entry, str) else entry
    return left, right

"""The package: the folder that a school's engine runs, and the card that says what is in it.

A package holds exactly `model.onnx`, `model.onnx.data`, `tokenizer.json.gz` and `card.json`. What the graph takes and
gives is said in `federation.inference.graph_session`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from federation.inference.errors import EngineTooOld, PackageCardInvalid, PackageIncomplete

FORMAT = 1
CARD = "card.json"
TOKENIZER = "tokenizer.json.gz"
FILES = ("model.onnx", "model.onnx.data", TOKENIZER, CARD)


@dataclass(frozen=True, slots=True)
class Slot:
    """A projection that an adapter may change: A is (d_in, rank), B is (rank, d_out)."""

    name: str
    d_in: int
    d_out: int


@dataclass(frozen=True, slots=True)
class Perplexity:
    """Perplexity of the float32 checkpoint and of the package itself, on the same text."""

    fp32: float
    shipped: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How near the package's expectations are to the float32 checkpoint's.

    Divergences are in nats a token, on a text shorter and one longer than the sliding window; `agreement` is the share
    of tokens where both think the same next one likeliest.
    """

    divergence_short: float
    divergence_long: float
    agreement: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyLoss:
    """What trimming the vocabulary cost the float32 checkpoint.

    `whole` and `trimmed` are the bits that a byte of text costs with the whole vocabulary and with the trimmed one.
    `increase` is how much higher (0.005 is 0.5%) the perplexity is, by the token of the whole vocabulary for both.
    """

    whole: float
    trimmed: float
    increase: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixChoice:
    """How one matrix is held, and why: what it was predicted to cost in nats a token."""

    part: str
    bits: int
    block: int
    predicted_loss: float
    is_kept: bool
    """Whether these are the very integers that the checkpoint came with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageCard:
    """What a package is; `perplexity`, `parity` and `vocabulary` are by language code (`tg`, `ru`, `en`)."""

    format: int
    name: str
    architecture: str
    licence: str
    hidden_size: int
    layers: int
    vocab_size: int
    context_tokens: int
    quantisation: str
    max_rank: int
    slots: tuple[Slot, ...]
    perplexity: Mapping[str, Perplexity]
    languages: tuple[str, ...] = ()
    """Those that the vocabulary was trimmed to; none: it is whole."""
    parity: Mapping[str, Parity] = field(default_factory=dict)
    matrices: tuple[MatrixChoice, ...] = ()
    """Of a mixed quantisation, what was chosen for each matrix."""
    vocabulary: Mapping[str, VocabularyLoss] = field(default_factory=dict)
    """Of a trimmed vocabulary, what that cost; empty in a package from before it was measured."""


def package_open(folder: Path) -> PackageCard:
    """Return the card of the package at `folder`, every file of which is there.

    Raises:
        PackageIncomplete: a file is missing.
        EngineTooOld: the package is of a newer format than this program knows.
        PackageCardInvalid: the card is not JSON, is of no format, or a value has the wrong type.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise PackageIncomplete(path=str(folder), missing=name)
    try:
        document = json.loads((folder / CARD).read_text("utf-8"))
        return card_parse(document)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PackageCardInvalid(path=str(folder), problem=f"{type(error).__name__}: {error}") from error


def card_parse(document: Mapping[str, Any]) -> PackageCard:
    """Return the card that `document` (parsed JSON) holds.

    Raises:
        EngineTooOld: it is of a newer format, so that its other values may mean anything.
        ValueError: it is of no format or holds an impossible value.
        KeyError, TypeError: a value is missing or has the wrong type.
    """
    if document["format"] > FORMAT:
        raise EngineTooOld(needed=document["format"], has=FORMAT)
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']} is not {FORMAT}")
    slots = tuple(
        Slot(name=_text(slot["name"]), d_in=_count(slot["d_in"]), d_out=_count(slot["d_out"]))
        for slot in document["slots"]
    )
    perplexity = {
        language: Perplexity(fp32=float(values["fp32"]), shipped=float(values["shipped"]))
        for language, values in document["perplexity"].items()
    }
    texts = ("name", "architecture", "licence", "quantisation")
    counts = ("hidden_size", "layers", "vocab_size", "context_tokens", "max_rank")
    return PackageCard(
        format=FORMAT,
        slots=slots,
        perplexity=perplexity,
        languages=tuple(_text(language) for language in document["languages"]),
        parity={language: _parity(values) for language, values in document["parity"].items()},
        matrices=tuple(_matrix(choice) for choice in document["matrices"]),
        vocabulary={language: _vocabulary(values) for language, values in document.get("vocabulary", {}).items()},
        **_each(_text, texts, document),
        **_each(_count, counts, document),
    )


def card_write(card: PackageCard, *, folder: Path) -> None:
    """Write `card` as the card.json of `folder`; the same card gives the same bytes."""
    text = json.dumps(asdict(card), ensure_ascii=False, indent=2, sort_keys=True)
    (folder / CARD).write_text(text + "\n", "utf-8")


def _parity(values: Mapping[str, Any]) -> Parity:
    return Parity(
        divergence_short=float(values["divergence_short"]),
        divergence_long=float(values["divergence_long"]),
        agreement=float(values["agreement"]),
    )


def _vocabulary(values: Mapping[str, Any]) -> VocabularyLoss:
    return VocabularyLoss(
        whole=float(values["whole"]), trimmed=float(values["trimmed"]), increase=float(values["increase"])
    )


def _matrix(choice: Mapping[str, Any]) -> MatrixChoice:
    return MatrixChoice(
        part=_text(choice["part"]),
        bits=_count(choice["bits"]),
        block=_count(choice["block"]),
        predicted_loss=float(choice["predicted_loss"]),
        is_kept=bool(choice["is_kept"]),
    )


def _each(check: Callable[[object], Any], names: tuple[str, ...], document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: check(document[name]) for name in names}


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is not a text")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise TypeError(f"{value!r} is not a count")
    return value

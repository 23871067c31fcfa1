"""Rebuilds the tokenizer of a Gemma model from the vocabulary that a GGUF file carries.

The vocabulary is byte-fallback BPE whose scores are the ranks of its merges; the merges themselves are not in the
file. transformers takes it for a Unigram model, which splits most words wrongly (English perplexity 136 instead of 6).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from central.releases.packaging.errors import CheckpointIncomplete, UnsupportedArchitecture
from central.releases.packaging.gguf_weights import gguf_field

SPACE = "\u2581"
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4


def gguf_tokenizer(reader: GGUFReader, *, source: Path) -> Tokenizer:
    """Return the tokenizer in `reader`; encoding puts the BOS token in front.

    Raises:
        CheckpointIncomplete: the file carries no vocabulary.
        UnsupportedArchitecture: the vocabulary is not a SentencePiece one.
    """
    if gguf_field(reader, "tokenizer.ggml.model") != "llama":
        found = gguf_field(reader, "tokenizer.ggml.model")
        raise UnsupportedArchitecture(source=str(source), architecture=f"tokenizer {found}", supported="Gemma 3")
    pieces = gguf_field(reader, "tokenizer.ggml.tokens")
    scores = gguf_field(reader, "tokenizer.ggml.scores")
    kinds = gguf_field(reader, "tokenizer.ggml.token_type")
    if pieces is None or scores is None or kinds is None:
        raise CheckpointIncomplete(source=str(source), missing="tokenizer.ggml.scores")
    bos = pieces[gguf_field(reader, "tokenizer.ggml.bos_token_id", 2)]
    unknown = pieces[gguf_field(reader, "tokenizer.ggml.unknown_token_id", 3)]
    return tokenizer_build(pieces=pieces, scores=scores, kinds=kinds, bos=bos, unknown=unknown)


def tokenizer_build(*, pieces: list[str], scores: list[float], kinds: list[int], bos: str, unknown: str) -> Tokenizer:
    """Return a byte-fallback BPE tokenizer over `pieces`, whose ids are their positions.

    `kinds` are GGUF token types: 1 normal, 3 control, 4 user-defined, 6 byte. A control token is special, so that
    encoding with `encode_special_tokens` never makes one out of a user's text; a user-defined one always matches whole.
    """
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    merges = _merges(pieces, scores, kinds, vocabulary)
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, vocabulary[bos])]
    )
    tokenizer.add_special_tokens(
        [AddedToken(p, special=True, normalized=False) for p, k in zip(pieces, kinds, strict=True) if k == _CONTROL]
    )
    # Normalised, because runs of spaces are among them and the normaliser has replaced those by then.
    tokenizer.add_tokens(
        [AddedToken(p, normalized=True) for p, k in zip(pieces, kinds, strict=True) if k == _USER_DEFINED]
    )
    return tokenizer


def _merges(
    pieces: list[str], scores: list[float], kinds: list[int], vocabulary: dict[str, int]
) -> list[tuple[str, str]]:
    """Every way in which a normal piece is two other pieces, best score first, then by the ids of the two."""
    ranked: list[tuple[float, int, int, tuple[str, str]]] = []
    for piece, score, kind in zip(pieces, scores, kinds, strict=True):
        if kind != _NORMAL:
            continue
        for cut in range(1, len(piece)):
            left, right = vocabulary.get(piece[:cut]), vocabulary.get(piece[cut:])
            if left is not None and right is not None:
                ranked.append((-score, left, right, (piece[:cut], piece[cut:])))
    ranked.sort(key=lambda entry: entry[:3])
    return [pair for *_, pair in ranked]


def tokenizer_settings(tokenizer: Tokenizer, *, names: dict[str, str], context_tokens: int) -> dict[str, Any]:
    """Return `tokenizer_config.json` for transformers, with `names` as bos_token, eos_token and so on."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": context_tokens,
        "added_tokens_decoder": {},
        **{role: name for role, name in names.items() if tokenizer.token_to_id(name) is not None},
    }

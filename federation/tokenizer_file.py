"""Opens a tokenizer.json, plain or compressed, and finds Gemma's control tokens in it.

In a package it is gzip, a third of its bytes. Serving and training both read it and neither may import the other, so it
stands here, below both.
"""

from __future__ import annotations

import ctypes
import gzip
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

BOS = "<bos>"
EOS = "<eos>"
TURN_START = "<start_of_turn>"
TURN_END = "<end_of_turn>"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlTokens:
    """The ids of the tokens that no text encodes to."""

    bos: int
    eos: int
    turn_start: int
    turn_end: int


def tokenizer_open(path: Path) -> Tokenizer:
    """Return the tokenizer at `path`, which encodes what people wrote without ever making a control token of it.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        content = path.read_bytes()
        document = gzip.decompress(content) if path.suffix == ".gz" else content
        tokenizer = Tokenizer.from_str(document.decode("utf-8"))
    except Exception as error:  # the tokenizers library raises a bare Exception for any unreadable text
        raise ValueError(str(error)) from error
    tokenizer.encode_special_tokens = True
    _memory_return()
    return tokenizer


def control_tokens(tokenizer: Tokenizer) -> ControlTokens:
    """Return the ids of Gemma's control tokens.

    Raises:
        ValueError: `tokenizer` lacks one of them.
    """

    def number(token: str) -> int:
        found = tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"the tokenizer has no {token}")
        return int(found)

    return ControlTokens(bos=number(BOS), eos=number(EOS), turn_start=number(TURN_START), turn_end=number(TURN_END))


def _memory_return() -> None:
    """Give the memory of the parsing back: of 140 MB that a vocabulary of 120,000 words took, glibc would keep all."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def tokenizer_pack(document: str) -> bytes:
    """Return the text of a tokenizer.json as a package holds it; the same text gives the same bytes."""
    return gzip.compress(document.encode("utf-8"), compresslevel=9, mtime=0)

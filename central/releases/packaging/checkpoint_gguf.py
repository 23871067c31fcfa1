"""Reads a GGUF file of a Gemma 3 text model, one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from gguf import GGUFReader
from tokenizers import Tokenizer

from central.releases.packaging.checkpoint_card import TOKENIZER_FILE, file_digest, settings_write
from central.releases.packaging.checkpoint_weights import float_type, weights_write
from central.releases.packaging.errors import UnsupportedArchitecture
from central.releases.packaging.gguf_tokenizer import gguf_tokenizer, tokenizer_settings
from central.releases.packaging.gguf_weights import gguf_config, gguf_field, gguf_names_check, gguf_weights
from central.releases.packaging.needs import ModelSize, size_read
from central.releases.packaging.text_names import SUPPORTED
from federation.tokenizer_file import TURN_END

_SHARE_TOKENIZER = 0.4


class GgufCheckpoint:
    """The checkpoint in the GGUF file `source`, which is read when it is first asked for more than its digest.

    The vocabulary of a quarter of a million tokens alone takes seconds, and a checkpoint that was prepared before is
    known by its digest.
    """

    def __init__(self, source: Path) -> None:
        """Read nothing yet."""
        self._source = source

    @property
    def name(self) -> str:
        """What the file calls the model, or the file's own name."""
        return str(gguf_field(self._reader, "general.name", self._source.stem))

    def digest(self) -> str:
        """Return `sha256:` and 64 hex digits over the file's bytes."""
        return file_digest(self._source)

    def size(self) -> ModelSize:
        """Return the sizes of the text model. Raises what `write` raises."""
        return size_read(gguf_config(self._reader, source=self._source))

    def prepared_bytes(self) -> int:
        """Return what the prepared files take at most: the file's integers stay beside their floats."""
        weights = self._weights()
        # A byte a weight and its scale are the most that integers take.
        return weights * float_type(weights).itemsize + weights + weights // 4

    def write(self, into: Path, *, digest: str, progress: Callable[[float], None]) -> None:
        """Leave the prepared files of this checkpoint, whose digest is `digest`, in the folder `into`.

        Raises:
            CheckpointIncomplete: a tensor or a setting is missing; names it.
            UnsupportedArchitecture: it is not a GGUF file, or not of a Gemma 3 text model.
        """
        config = gguf_config(self._reader, source=self._source)
        gguf_names_check(self._reader, config, source=self._source)
        dtype = float_type(self._weights())
        config["torch_dtype"] = str(dtype).removeprefix("torch.")
        tokenizer = gguf_tokenizer(self._reader, source=self._source)
        tokenizer.save(str(into / TOKENIZER_FILE), pretty=False)
        progress(_SHARE_TOKENIZER)
        self._settings_write(into, config, tokenizer)
        weights = gguf_weights(
            self._reader,
            source=self._source,
            progress=lambda part: progress(_SHARE_TOKENIZER + (1 - _SHARE_TOKENIZER) * part),
        )
        weights_write(weights, into=into, dtype=dtype, digest=digest)

    def _weights(self) -> int:
        return sum(int(tensor.n_elements) for tensor in self._reader.tensors)

    @cached_property
    def _reader(self) -> GGUFReader:
        return _gguf_open(self._source)

    def _settings_write(self, into: Path, config: dict[str, Any], tokenizer: Tokenizer) -> None:
        pieces = gguf_field(self._reader, "tokenizer.ggml.tokens")
        ids = {role: config[f"{role}_id"] for role in ("bos_token", "eos_token", "pad_token")}
        names = {role: pieces[i] for role, i in ids.items()} | {"unk_token": "<unk>"}  # nosec B105 # a word of the vocabulary
        context_tokens = config["max_position_embeddings"]
        ends = [i for i in (ids["eos_token"], tokenizer.token_to_id(TURN_END)) if i is not None]
        settings_write(into / "config.json", config)
        settings_write(into / "generation_config.json", ids_for_generation(ids, ends))
        settings_write(
            into / "tokenizer_config.json", tokenizer_settings(tokenizer, names=names, context_tokens=context_tokens)
        )


def ids_for_generation(ids: dict[str, int], ends: list[int]) -> dict[str, Any]:
    """Return `generation_config.json`: `ends` are the tokens at which an answer is over."""
    return {"bos_token_id": ids["bos_token"], "eos_token_id": ends, "pad_token_id": ids["pad_token"]}


def _gguf_open(source: Path) -> GGUFReader:
    try:
        reader = GGUFReader(source)
    except (ValueError, OSError) as error:
        raise UnsupportedArchitecture(source=str(source), architecture="unreadable", supported=SUPPORTED) from error
    architecture = gguf_field(reader, "general.architecture")
    if architecture != "gemma3":
        raise UnsupportedArchitecture(source=str(source), architecture=str(architecture), supported=SUPPORTED)
    return reader

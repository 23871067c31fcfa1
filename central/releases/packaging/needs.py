"""What a build will need of memory and disk, foreseen from the sizes of the model; pure.

Each figure is a bound that was compared with what builds took: see docs/operations.md. Pages that only mirror a file do
not count, since the kernel drops them when it must.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from central.releases.recipe import FP8, FP16, INT4, MIXED, Recipe

# The interpreter with torch, transformers and the exporter loaded.
PROGRAM_BYTES = 1_000_000_000
# The tokenizer twice, with the lists of words that choose from it.
_VOCABULARY_BYTES = 1_500_000_000
_SHARD_BYTES = 2**30
# A build measures some 7,000 tokens; what a layer makes of 2,048 at once is its widest inner states, four times.
_TOKENS, _TOKENS_AT_ONCE = 8_000, 2_048
_CALIBRATION_TOKENS = 2_048
_FLOAT, _HALF = 4, 2
# optimum's tracing, its file and its check against PyTorch hold the floats so many times.
_WHOLE_COPIES = 5
# A weight's bytes in a package; the scales of blocks of 32 are an eighth of a byte.
_PACKED = {FP16: 2.0, FP8: 1.25, INT4: 0.75}
_PACKED_BYTE = 1.125


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """The sizes of a Gemma 3 text model."""

    words: int
    hidden: int
    intermediate: int
    layers: int
    queries: int
    keys: int
    is_tied: bool

    @property
    def table(self) -> int:
        """How many weights the embedding has."""
        return self.words * self.hidden

    @property
    def layer(self) -> int:
        """How many weights a layer has; its norms are too few to count."""
        return self.hidden * (2 * self.queries + 2 * self.keys + 3 * self.intermediate)

    @property
    def weights(self) -> int:
        """How many weights the model has."""
        return self.table * (1 if self.is_tied else 2) + self.layers * self.layer


def size_read(config: Mapping[str, Any]) -> ModelSize:
    """Return the sizes that the settings of a text model name."""
    width = config["head_dim"]
    return ModelSize(
        words=config["vocab_size"],
        hidden=config["hidden_size"],
        intermediate=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        queries=config["num_attention_heads"] * width,
        keys=config["num_key_value_heads"] * width,
        is_tied=config.get("tie_word_embeddings", True),
    )


def memory_needs(size: ModelSize, *, recipe: Recipe, is_tuned: bool, largest_whole: int) -> dict[str, int]:
    """Return the bytes of memory that each step takes, by the name under which it tells its progress."""
    streamed = 2 * _FLOAT * size.layer + _FLOAT * (2 * _TOKENS * size.hidden + 4 * _TOKENS_AT_ONCE * size.intermediate)
    whole = _WHOLE_COPIES * _FLOAT * size.weights
    packed = package_bytes(size, recipe)
    needs = {
        "checkpoint": max(2 * _FLOAT * size.table, 2 * _SHARD_BYTES),
        "fp32 reference": whole if size.weights <= largest_whole else streamed,
        "quantise": 3 * _FLOAT * max(size.table, size.hidden * size.intermediate),
        "measure": packed + packed // 4,
    }
    if recipe.languages:
        needs["vocabulary"] = _VOCABULARY_BYTES + streamed
    if is_tuned:
        # The frozen model, its changes in float32, and the states of some answers.
        needs["chat tuning"] = 2 * _FLOAT * size.weights + _FLOAT * size.table
    if recipe.quantisation == MIXED:
        moments = size.layers * (6 * size.hidden**2 + size.queries**2 + size.intermediate**2)
        kept = packed if recipe.max_bytes is None else min(packed, recipe.max_bytes)
        needs["sensitivity"] = _FLOAT * (2 * size.weights + moments + _CALIBRATION_TOKENS * size.words)
        needs["weigh"] = _FLOAT * (moments + 3 * size.table) + kept
    return {step: PROGRAM_BYTES + needed for step, needed in needs.items()}


def disk_needs(size: ModelSize, *, prepared_bytes: int, recipe: Recipe, is_tuned: bool) -> tuple[int, int]:
    """Return the bytes that the kept steps take on the disk, and those that the package takes besides.

    `prepared_bytes` is what is still to be written of the prepared checkpoint.
    """
    # Of a trimmed checkpoint only the files with rows of words are new; the others are links.
    trimmed = _FLOAT * size.table + _SHARD_BYTES if recipe.languages else 0
    tuned = _FLOAT * size.weights if is_tuned else 0
    packed = package_bytes(size, recipe)
    # While it becomes blobs, a package is there twice.
    return prepared_bytes + trimmed + tuned + packed, 2 * packed


def package_bytes(size: ModelSize, recipe: Recipe) -> int:
    """Return what a package takes at most: trimming makes it smaller by as much as words go."""
    return int(size.weights * _PACKED.get(recipe.quantisation, _PACKED_BYTE))

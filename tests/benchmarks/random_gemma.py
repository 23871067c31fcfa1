"""Writes a checkpoint of random numbers in the shape of a published Gemma 3, one tensor at a time.

What it answers means nothing. But it has the published names, shapes, number type and settings, is multimodal where the
published one is, and takes the memory, the disk and the minutes of the real one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from central.releases.packaging.tensor_shards import TensorShards
from central.releases.packaging.text_names import EMBEDDING, NORM

_MULTIMODAL_ROWS = 262_208
_TEXT_PREFIX = "language_model."
_PIXELS = "vision_tower.vision_model.embeddings.patch_embedding.weight"
_BESIDE = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a published Gemma 3 text model, or of the text half of one that sees."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int = 256
    window: int = 1024
    rows: int = _MULTIMODAL_ROWS
    query_scalar: int = 256

    @property
    def is_multimodal(self) -> bool:
        """Whether the published one sees pictures; those also stretch their positions by 8."""
        return self.rows == _MULTIMODAL_ROWS

    def settings(self) -> dict[str, Any]:
        """Return the text model's settings."""
        stretched = {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}} if self.is_multimodal else {}
        return {
            "model_type": "gemma3_text",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_size,
            "sliding_window": self.window,
            "query_pre_attn_scalar": self.query_scalar,
            "vocab_size": self.rows,
            "max_position_embeddings": 131_072 if self.is_multimodal else 32_768,
            **stretched,
        }

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield name and shape of each tensor, in the order of the files."""
        query, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        matrices = {
            "self_attn.q_proj": (query, self.hidden),
            "self_attn.k_proj": (keys, self.hidden),
            "self_attn.v_proj": (keys, self.hidden),
            "self_attn.o_proj": (self.hidden, query),
            "mlp.gate_proj": (self.intermediate, self.hidden),
            "mlp.up_proj": (self.intermediate, self.hidden),
            "mlp.down_proj": (self.hidden, self.intermediate),
        }
        sides = ("input", "post_attention", "pre_feedforward", "post_feedforward")
        norms = {f"{side}_layernorm": (self.hidden,) for side in sides}
        norms |= {f"self_attn.{name}_norm": (self.head_size,) for name in "qk"}
        yield EMBEDDING, (self.rows, self.hidden)
        for layer in range(self.layers):
            for part, shape in (matrices | norms).items():
                yield f"model.layers.{layer}.{part}.weight", shape
        yield NORM, (self.hidden,)

    @property
    def weights(self) -> int:
        """How many numbers the text model has."""
        return sum(prod(shape) for _, shape in self.tensors())


SHAPES = {
    "270m": Shape(hidden=640, intermediate=2048, layers=18, heads=4, kv_heads=1, window=512, rows=262_144),
    "1b": Shape(hidden=1152, intermediate=6912, layers=26, heads=4, kv_heads=1, window=512, rows=262_144),
    "4b": Shape(hidden=2560, intermediate=10240, layers=34, heads=8, kv_heads=4),
    "12b": Shape(hidden=3840, intermediate=15360, layers=48, heads=16, kv_heads=8),
    "27b": Shape(hidden=5376, intermediate=21504, layers=62, heads=32, kv_heads=16, head_size=128, query_scalar=168),
}


def random_gemma(
    shape: Shape, *, tokenizer: Path, into: Path, progress: Callable[[float], None], seed: int = 3
) -> Path:
    """Leave a transformers folder of `shape` in bfloat16 at `into`, with the tokenizer of the prepared folder.

    A file holds 1 GiB or one tensor, and no more than that is ever in memory.
    """
    draft = into.with_name(f".{into.name}-draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    draw = torch.Generator().manual_seed(seed)
    tensors = list(shape.tensors())
    prefix = _TEXT_PREFIX if shape.is_multimodal else ""
    with TensorShards(draft, "model") as shards:
        for done, (name, size) in enumerate(tensors, start=1):
            spread = 0.1 if len(size) == 1 else size[-1] ** -0.5
            values = torch.empty(size, dtype=torch.bfloat16).normal_(0, spread, generator=draw)
            shards.put({prefix + name: values})
            progress(done / len(tensors))
        if shape.is_multimodal:
            shards.put({_PIXELS: torch.zeros(4, 3, 14, 14, dtype=torch.bfloat16)})
    (draft / "config.json").write_text(json.dumps(_settings(shape), indent=2), "utf-8")
    (draft / "generation_config.json").write_text(
        json.dumps({"bos_token_id": 2, "eos_token_id": [1, 106], "pad_token_id": 0}), "utf-8"
    )
    for name in _BESIDE:
        shutil.copyfile(tokenizer / name, draft / name)
    draft.rename(into)
    return into


def _settings(shape: Shape) -> dict[str, Any]:
    ends = {"bos_token_id": 2, "eos_token_id": [1, 106], "pad_token_id": 0, "torch_dtype": "bfloat16"}
    if not shape.is_multimodal:
        return {"architectures": ["Gemma3ForCausalLM"], **shape.settings(), **ends}
    return {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "text_config": shape.settings(),
        "vision_config": {"model_type": "siglip_vision_model"},
        "image_token_index": 262_144,
        **ends,
    }

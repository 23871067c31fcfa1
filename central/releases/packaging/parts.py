"""Names the matrices of the serving graph: `layers.3.qkv`, `.o`, `.gate`, `.up`, `.down`, `head`, `head.rare`."""

from __future__ import annotations

import re
from collections.abc import Collection

from central.releases.packaging.text_names import EMBEDDING

_PROJECTION = re.compile(r"/model/layers\.(\d+)/(?:attn|mlp)/(qkv|o|gate|up|down)_proj/MatMul")
HEAD_NODE = "/lm_head/MatMul"
HEAD_PART = "head"
# Of a head whose rows have two forms, the part with the words that come less often.
RARE_NODE = "/lm_head/rare/MatMul"
RARE_PART = "head.rare"
# Either of those, or a piece of a head of small floats.
_ANY_HEAD = re.compile(r"/lm_head/(?:(?:rare|\d+)/)?MatMul")
LAYER_PARTS = ("qkv", "o", "gate", "up", "down")
# Of a part, the matrices of the checkpoint in the order of their rows.
_SOURCES = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o": ("self_attn.o_proj",),
    "gate": ("mlp.gate_proj",),
    "up": ("mlp.up_proj",),
    "down": ("mlp.down_proj",),
}


def part_of(node_name: str) -> str:
    """Return the part that the graph's node computes, or nothing for another node."""
    if node_name == HEAD_NODE:
        return HEAD_PART
    match = _PROJECTION.fullmatch(node_name)
    return f"layers.{match[1]}.{match[2]}" if match else ""


def is_head(node_name: str) -> bool:
    """Return whether the graph's node computes the logits, or those of some words."""
    return _ANY_HEAD.fullmatch(node_name) is not None


def parts_all(names: Collection[str]) -> list[str]:
    """Return the parts, in the graph's order, of a checkpoint that has the tensors `names`."""
    layers = sum(name.endswith(_SOURCES["o"][0] + ".weight") for name in names)
    return [*(f"layers.{layer}.{part}" for layer in range(layers) for part in LAYER_PARTS), HEAD_PART]


def part_sources(part: str) -> tuple[str, ...]:
    """Return the names of the checkpoint's matrices whose rows, one after another, are the part's."""
    if part == HEAD_PART:
        return (EMBEDDING,)
    stem, _, kind = part.rpartition(".")
    return tuple(f"model.{stem}.{source}.weight" for source in _SOURCES[kind])

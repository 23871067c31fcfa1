"""The names of a Gemma 3 text model's weights in transformers, and what a multimodal checkpoint calls them."""

from __future__ import annotations

from collections.abc import Collection

from central.releases.packaging.errors import CheckpointIncomplete, UnsupportedArchitecture

SUPPORTED = "gemma3_text"
EMBEDDING = "model.embed_tokens.weight"
NORM = "model.norm.weight"
HEAD = "lm_head.weight"
LAYER_PARTS = (
    "input_layernorm",
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.q_norm",
    "self_attn.k_norm",
    "self_attn.o_proj",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
    "post_feedforward_layernorm",
)
# Before transformers 4.52 the text half lay under language_model; since then under model.language_model.
_TEXT_HALVES = {
    "language_model.model.": "model.",
    "language_model.lm_head.": "lm_head.",
    "model.language_model.": "model.",
}
_VISION = ("vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector.")


def text_name(name: str) -> str | None:
    """Return what a text model calls the tensor `name` of a text or multimodal one, or None for a tensor of vision."""
    if name.startswith(_VISION):
        return None
    for old, new in _TEXT_HALVES.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def names_check(names: Collection[str], *, layers: int, is_tied: bool, source: str) -> None:
    """Accept `names` if they are those of a text model with `layers` layers, its head tied to the embedding or not.

    Raises:
        CheckpointIncomplete: a tensor is missing; names it.
        UnsupportedArchitecture: there is a tensor that the model does not have; names it.
    """
    expected = [EMBEDDING, NORM] + ([] if is_tied else [HEAD])
    expected += [f"model.layers.{i}.{part}.weight" for i in range(layers) for part in LAYER_PARTS]
    for name in expected:
        if name not in names:
            raise CheckpointIncomplete(source=source, missing=name)
    left_over = sorted(set(names) - set(expected) - {HEAD})
    if left_over:
        raise UnsupportedArchitecture(source=source, architecture=f"with {left_over[0]}", supported=SUPPORTED)

"""Attach trainable LoRA factors B to a frozen Gemma 3 model, one pair (A, B) a slot.

The slots are those of the serving graph: `layers.{i}.qkv`, whose three projections share one A and divide the columns
of one B, and `layers.{i}.o`, `.gate`, `.up`, `.down`. A is frozen (`federation.basis`), B starts at zero, so that an
adapted model answers exactly like its base until it has learnt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from federation.basis import frozen_a
from federation.errors import WireError

_PROJECTIONS = {
    "qkv": ("self_attn", ("q_proj", "k_proj", "v_proj")),
    "o": ("self_attn", ("o_proj",)),
    "gate": ("mlp", ("gate_proj",)),
    "up": ("mlp", ("up_proj",)),
    "down": ("mlp", ("down_proj",)),
}
_SLOT = re.compile(r"layers\.(?P<layer>[0-9]{1,4})\.(?P<part>qkv|o|gate|up|down)")


class SlotUnknown(WireError):
    """The plan names a slot that this base does not have."""

    code = "slot_unknown"


class AdaptedLinear(nn.Module):
    """A frozen projection with its share of a slot: `W x + (x A) B[:, start:stop]`, x (…, d_in)."""

    def __init__(self, base: nn.Linear, a: torch.Tensor, b: nn.Parameter, start: int) -> None:
        """Wrap `base`; `a` is (d_in, rank) in the base's dtype, `b` (rank, d_out of the whole slot) in float32."""
        super().__init__()
        self.base = base
        self.a = a
        self.b = b
        self.start, self.stop = start, start + base.out_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (…, d_out) in the dtype of `x`."""
        own = self.b[:, self.start : self.stop].to(x.dtype)
        adapted: torch.Tensor = self.base(x) + (x @ self.a) @ own
        return adapted


def adapter_attach(model: Any, *, seed: str, rank: int, slots: Sequence[str]) -> dict[str, nn.Parameter]:  # noqa: ANN401 - transformers is untyped
    """Freeze `model` (a Gemma3ForCausalLM), adapt its `slots` in place, and return each slot's B: zeros (rank, d_out).

    Raises:
        SlotUnknown: the model has no such slot.
    """
    model.requires_grad_(requires_grad=False)
    factors: dict[str, nn.Parameter] = {}
    for slot in slots:
        owner, names = _locate(model, slot)
        linears: list[nn.Linear] = [getattr(owner, name) for name in names]
        a = frozen_a(seed=seed, slot=slot, d_in=linears[0].in_features, rank=rank)
        shared = torch.from_numpy(a).to(linears[0].weight.dtype)
        b = nn.Parameter(torch.zeros(rank, sum(linear.out_features for linear in linears)))
        start = 0
        for name, linear in zip(names, linears, strict=True):
            setattr(owner, name, AdaptedLinear(linear, shared, b, start))
            start += linear.out_features
        factors[slot] = b
    return factors


def slot_columns(model: Any) -> dict[str, int]:  # noqa: ANN401 - transformers is untyped
    """Return d_out of every slot of an unadapted `model`, in the serving graph's order."""
    columns = {}
    for slot in _slots(len(model.model.layers)):
        owner, names = _locate(model, slot)
        columns[slot] = sum(getattr(owner, name).out_features for name in names)
    return columns


def _slots(layers: int) -> Iterator[str]:
    return (f"layers.{layer}.{part}" for layer in range(layers) for part in _PROJECTIONS)


def _locate(model: Any, slot: str) -> tuple[nn.Module, tuple[str, ...]]:  # noqa: ANN401 - transformers is untyped
    match = _SLOT.fullmatch(slot)
    layers = model.model.layers
    if not match or int(match["layer"]) >= len(layers):
        raise SlotUnknown(slot=slot)
    branch, names = _PROJECTIONS[match["part"]]
    return getattr(layers[int(match["layer"])], branch), names

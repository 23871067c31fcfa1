"""Attach what a scheme learns to a frozen Gemma 3 model, one pair of factors (A, B) a slot.

The slots are those of the serving graph: `layers.{i}.qkv`, whose three projections share one A and divide the columns
of one B, and `layers.{i}.o`, `.gate`, `.up`, `.down`. What is learnt is a delta on the adapter that the plan starts
from and begins at zero, so that a model answers exactly like that adapter until it has learnt more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from federation.basis import AdapterFactors, SlotSize, frozen_a, frozen_b
from federation.errors import WireError
from federation.learning.schemes.catalogue import scheme_of
from federation.wire.rounds import Factor, SchemeName

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


class StartMismatch(WireError):
    """The adapter that training starts from has not the slots, the rank or the seed of the plan."""

    code = "start_mismatch"


class SlotAdapter(nn.Module):
    """One slot's share of the model's answer beside `W x`: `(x A) B`, of which some factors learn.

    A is `a` plus what is learnt of it, B is `b` plus what is learnt of it: a delta on B itself, or a core before the
    frozen `basis`. `rest` is a pair (A, B) beside both that stands still.
    """

    def __init__(
        self,
        *,
        a: torch.Tensor,
        b: torch.Tensor,
        learnt: Sequence[Factor],
        basis: torch.Tensor | None = None,
        rest: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:
        """`a` is (d_in, rank), `b` and `basis` (rank, d_out of the whole slot), all float32; deltas start at zero."""
        super().__init__()
        self.a, self.b, self.basis, self.rest = a, b, basis, rest
        shapes = {Factor.A: a.shape, Factor.B: b.shape, Factor.CORE: (len(b), len(b))}
        self.deltas = nn.ParameterDict({each.value: nn.Parameter(torch.zeros(shapes[each])) for each in learnt})

    def inner(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x A`, (…, rank)."""
        a = self.a + self.deltas[Factor.A.value] if Factor.A.value in self.deltas else self.a
        return x @ a.to(x.dtype)

    def forward(self, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Return the slot's outputs from `start` to before `stop`, in the dtype of `x`."""
        share: torch.Tensor = self.inner(x) @ self._b_now(slice(start, stop)).to(x.dtype)
        if self.rest is not None:
            a, b = self.rest
            share = share + (x @ a.to(x.dtype)) @ b[:, start:stop].to(x.dtype)
        return share

    def _b_now(self, columns: slice) -> torch.Tensor:
        b = self.b[:, columns]
        if Factor.B.value in self.deltas:
            b = b + self.deltas[Factor.B.value][:, columns]
        if self.basis is not None:
            b = b + self.deltas[Factor.CORE.value] @ self.basis[:, columns]
        return b


class AdaptedLinear(nn.Module):
    """A frozen projection with its share of a slot, columns `start` to before `stop`."""

    def __init__(self, base: nn.Module, adapter: SlotAdapter, start: int, stop: int) -> None:
        """Wrap `base`, an `nn.Linear` or a `PackedLinear`."""
        super().__init__()
        self.base, self.adapter = base, adapter
        self.start, self.stop = start, stop

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (…, d_out) in the dtype of `x`."""
        adapted: torch.Tensor = self.base(x) + self.adapter(x, self.start, self.stop)
        return adapted


def adapter_attach(
    model: Any,  # noqa: ANN401 - transformers is untyped
    *,
    seed: str,
    rank: int,
    slots: Sequence[str],
    scheme: SchemeName = SchemeName.FFA_LORA,
    start: AdapterFactors | None = None,
) -> dict[str, SlotAdapter]:
    """Freeze `model` (a Gemma3ForCausalLM) and adapt its `slots` in place; return each slot's adapter.

    Until its deltas move, the model answers like `start`: an adapter, or None for the base alone.

    Raises:
        SlotUnknown: the model has no such slot.
        StartMismatch: the start has another slot or shape than the plan.
    """
    model.requires_grad_(requires_grad=False)
    adapters: dict[str, SlotAdapter] = {}
    for slot in slots:
        owner, names = _locate(model, slot)
        linears = [getattr(owner, name) for name in names]
        size = SlotSize(linears[0].in_features, sum(linear.out_features for linear in linears))
        adapters[slot] = _slot_adapter(slot, size, seed, rank, scheme, start)
        first = 0
        for name, linear in zip(names, linears, strict=True):
            behind = first + linear.out_features
            setattr(owner, name, AdaptedLinear(linear, adapters[slot], first, behind))
            first = behind
    return adapters


def _slot_adapter(
    slot: str, size: SlotSize, seed: str, rank: int, scheme: SchemeName, start: AdapterFactors | None
) -> SlotAdapter:
    """Return what the scheme lets a school learn on top of `start`; as in `federation.learning.schemes`."""
    frozen = torch.from_numpy(frozen_a(seed=seed, slot=slot, d_in=size.d_in, rank=rank))
    zero = torch.zeros(rank, size.d_out)
    a, b = (frozen, zero) if start is None else _start_factors(slot, size, frozen, start)
    learnt = scheme_of(scheme).learnt
    if scheme is SchemeName.FED_SB:
        basis = torch.from_numpy(frozen_b(seed=seed, slot=slot, rank=rank, d_out=size.d_out))
        return SlotAdapter(a=a, b=b, learnt=learnt, basis=basis)
    brings_a = start is not None and start.a is not None
    if scheme is SchemeName.FLORA or (scheme is SchemeName.FFA_LORA and brings_a):
        return SlotAdapter(a=frozen, b=zero, learnt=learnt, rest=None if start is None else (a, b))
    return SlotAdapter(a=a, b=b, learnt=learnt)


def _start_factors(
    slot: str, size: SlotSize, frozen: torch.Tensor, start: AdapterFactors
) -> tuple[torch.Tensor, torch.Tensor]:
    a = frozen.numpy() if start.a is None else start.a.get(slot)
    b = start.b.get(slot)
    if a is None or b is None or (len(a), *b.shape) != (size.d_in, a.shape[1], size.d_out):
        raise StartMismatch(slot=slot)
    return torch.from_numpy(a), torch.from_numpy(b)


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

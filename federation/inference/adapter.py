"""An adapter in the form that ONNX Runtime loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from federation.adapter_file import Adapter, AdapterShapeMismatch
from federation.basis import frozen_a
from federation.inference.errors import AdapterRankTooLarge
from federation.inference.package import PackageCard

MAX_RANK = 64
"""The largest rank that the packages made now allow; each says its own in its card."""
_FORMAT = 1


def adapter_expand(adapter: Adapter, *, card: PackageCard, into: Path) -> None:
    """Write `adapter` as the `.onnx_adapter` file `into` for the package of `card`; a slot that it lacks stays empty.

    Its A is the file's own, or else the seed's.

    Raises:
        AdapterRankTooLarge: its rank is above the card's largest.
        AdapterShapeMismatch: the package lacks a slot, or a factor does not fit it.
    """
    if adapter.rank > card.max_rank:
        raise AdapterRankTooLarge(found=adapter.rank, largest=card.max_rank)
    known = {slot.name: slot for slot in card.slots}
    parameters = {}
    for name, b in adapter.b.items():
        slot = known.get(name)
        if slot is None or b.shape != (adapter.rank, slot.d_out):
            expected = None if slot is None else (adapter.rank, slot.d_out)
            raise AdapterShapeMismatch(slot=name, expected=expected, found=b.shape)
        if adapter.a is None:
            a = frozen_a(seed=adapter.seed, slot=name, d_in=slot.d_in, rank=adapter.rank)
        else:
            a = adapter.a[name]
        if a.shape != (slot.d_in, adapter.rank):
            raise AdapterShapeMismatch(slot=name, expected=(slot.d_in, adapter.rank), found=a.shape)
        for letter, values in (("A", a), ("B", b)):
            parameters[f"lora.{name}.{letter}"] = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values))
    file = onnxruntime.AdapterFormat()
    file.set_adapter_version(_FORMAT)
    file.set_model_version(1)
    file.set_parameters(parameters)
    file.export_adapter(str(into))

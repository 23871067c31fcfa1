"""Puts one SimplifiedLayerNormalization in the place of the plain operators of each root-mean-square norm."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import NodeProto, helper

from central.releases.packaging.errors import GraphUnexpected
from central.releases.packaging.plain_graph import PlainGraph

_SQUARE = 2.0


@dataclass(frozen=True)
class Norm:
    """`weight` x / sqrt(mean(x x) + epsilon) over the last axis of `source`; `end` makes it."""

    source: str
    weight: str
    epsilon: float
    end: NodeProto


def norms_find(plain: PlainGraph) -> list[Norm]:
    """Return the norms of the graph."""
    return [norm for end in plain.nodes("Mul") if (norm := _norm(plain, end)) is not None]


def norm_fuse(plain: PlainGraph, norm: Norm, *, name: str, weight: str) -> None:
    """Let one operator called `name` compute `norm`, its weight called `weight`."""
    fused = helper.make_node(
        "SimplifiedLayerNormalization",
        [norm.source, weight],
        list(norm.end.output),
        name=name,
        axis=-1,
        epsilon=norm.epsilon,
        stash_type=1,
    )
    plain.replace(norm.end, [fused])


def _norm(plain: PlainGraph, end: NodeProto) -> Norm | None:
    """Return the norm that the multiplication `end` ends, or None where it is another multiplication."""
    weights = [name for name in end.input if (values := plain.array(name)) is not None and values.ndim == 1]
    if len(weights) != 1:
        return None
    try:
        scaled = plain.maker(next(name for name in end.input if name != weights[0]), "Mul")
        source, inverse = scaled.input
        root = plain.maker(plain.maker(inverse, "Div").input[1], "Sqrt")
        mean, epsilon = plain.maker(root.input[0], "Add").input
        averaged = plain.maker(mean, "ReduceMean")
        square = plain.maker(averaged.input[0], "Pow")
    except GraphUnexpected:
        return None
    axes, power, number = (plain.array(name) for name in (averaged.input[1], square.input[1], epsilon))
    if number is None or axes is None or power is None:
        return None
    is_norm = square.input[0] == source and axes.tolist() == [-1] and power.tolist() == _SQUARE
    return Norm(source, weights[0], float(number.reshape(())), end) if is_norm else None

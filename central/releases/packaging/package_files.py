"""Puts a package's files into its folder, and nothing else beside them."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx

from central.releases.packaging.checkpoint import Checkpoint
from central.releases.packaging.quantise import GRAPH, WEIGHTS
from federation.inference.package import TOKENIZER


def package_gather(*, checkpoint: Checkpoint, graph: onnx.ModelProto, weights: Path, into: Path) -> None:
    """Fill the empty folder `into` with graph, weights and tokenizer; the card is still missing.

    `weights` is moved when it lies on the same disk.
    """
    into.mkdir(parents=True)
    onnx.save(graph, into / GRAPH)
    shutil.move(weights, into / WEIGHTS)
    shutil.copyfile(checkpoint.folder / TOKENIZER, into / TOKENIZER)

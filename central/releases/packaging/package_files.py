"""Puts a package's files into its folder, and nothing else beside them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import onnx

from central.releases.packaging.checkpoint import Checkpoint
from central.releases.packaging.quantise import GRAPH, WEIGHTS
from federation.inference.package import TOKENIZER

_GENAI = "genai_config.json"


def package_gather(
    *, checkpoint: Checkpoint, exported: Path, graph: onnx.ModelProto, weights: Path, into: Path
) -> None:
    """Fill the empty folder `into` with graph, weights, tokenizer and engine settings; the card is still missing.

    `weights` is moved when it lies on the same disk.
    """
    into.mkdir(parents=True)
    onnx.save(graph, into / GRAPH)
    shutil.move(weights, into / WEIGHTS)
    shutil.copyfile(checkpoint.folder / TOKENIZER, into / TOKENIZER)
    settings = json.loads((exported / _GENAI).read_text("utf-8"))
    (into / _GENAI).write_text(json.dumps(_greedy(settings), indent=2, sort_keys=True) + "\n", "utf-8")


def _greedy(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the engine settings with the neutral search that our engine starts from."""
    settings["search"] |= {"do_sample": False, "top_k": 50, "top_p": 1.0, "temperature": 1.0}
    return settings

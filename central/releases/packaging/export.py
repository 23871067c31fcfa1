"""Exports a prepared checkpoint as the float32 graph that schools run, by onnxruntime-genai's builder or by optimum.

The context is cut to what a school's PC serves: the builder's rotary tables and the key-value buffers grow with it.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path

from onnxruntime_genai.models import builder

from central.releases.packaging.checkpoint import Checkpoint
from central.releases.packaging.errors import ExporterRefused
from central.releases.packaging.optimum_export import optimum_export
from central.releases.packaging.serving_graph import serving_graph_write
from central.releases.recipe import BUILDER, OPTIMUM

CONTEXT_TOKENS = 4096
# How an exporter shows that it does not know a model: it says so, or trips over a setting that it expects or not.
_REFUSALS = (NotImplementedError, ValueError, KeyError, AttributeError, TypeError)


def context_served(checkpoint: Checkpoint) -> int:
    """Return how many tokens of context a package of `checkpoint` serves."""
    config = json.loads((checkpoint.folder / "config.json").read_text("utf-8"))
    return min(int(config["max_position_embeddings"]), CONTEXT_TOKENS)


def graph_export(
    *,
    checkpoint: Checkpoint,
    into: Path,
    log: Path,
    context_tokens: int = CONTEXT_TOKENS,
    exporter: str = BUILDER,
) -> None:
    """Leave `model.onnx` and `model.onnx.data` in `into`; `exporter`, one of the recipe's, talks to `log`.

    Raises:
        ExporterRefused: it does not know the checkpoint's architecture.
        GraphUnexpected: optimum's graph is not one that a school's engine can be given.
    """
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        try:
            if exporter == OPTIMUM:
                optimum_export(checkpoint=checkpoint, into=Path(scratch) / "plain", log=log, has_positions=True)
            else:
                _build(checkpoint, into, log, Path(scratch), context_tokens)
        except _REFUSALS as error:
            raise ExporterRefused(
                exporter=exporter,
                architecture=_architecture(checkpoint),
                problem=f"{type(error).__name__}: {error}",
                other=BUILDER if exporter == OPTIMUM else OPTIMUM,
            ) from error
        if exporter == OPTIMUM:
            serving_graph_write(plain=Path(scratch) / "plain", into=into)


def _build(checkpoint: Checkpoint, into: Path, log: Path, scratch: Path, context_tokens: int) -> None:
    """Let onnxruntime-genai's builder leave its graph in `into`."""
    with (
        log.open("a", encoding="utf-8") as stream,
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
    ):
        narrowed = scratch / "checkpoint"
        _narrow(checkpoint.folder, narrowed, context_tokens)
        places = ("", str(narrowed), str(into), "fp32", "cpu", str(scratch / "cache"))
        options = builder.parse_extra_options(*places, [])
        builder.create_model(*places, **options)


def _architecture(checkpoint: Checkpoint) -> str:
    config = json.loads((checkpoint.folder / "config.json").read_text("utf-8"))
    return ", ".join(config.get("architectures") or [str(config.get("model_type"))])


def _narrow(folder: Path, into: Path, context_tokens: int) -> None:
    """Show `folder` again at `into`, by links, with a configuration whose context is at most `context_tokens`."""
    into.mkdir()
    for path in folder.iterdir():
        if path.name != "config.json":
            (into / path.name).symlink_to(path.resolve())
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["max_position_embeddings"] = min(config["max_position_embeddings"], context_tokens)
    (into / "config.json").write_text(json.dumps(config), "utf-8")

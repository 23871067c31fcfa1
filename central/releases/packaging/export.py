"""Exports a prepared checkpoint as the float32 graph that schools run, by onnxruntime-genai's builder.

The context is cut to what a school's PC serves: the rotary tables and the key-value buffers grow with it.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path

from onnxruntime_genai.models import builder

from central.releases.packaging.checkpoint import Checkpoint

CONTEXT_TOKENS = 4096


def context_served(checkpoint: Checkpoint) -> int:
    """Return how many tokens of context a package of `checkpoint` serves."""
    config = json.loads((checkpoint.folder / "config.json").read_text("utf-8"))
    return min(int(config["max_position_embeddings"]), CONTEXT_TOKENS)


def graph_export(*, checkpoint: Checkpoint, into: Path, log: Path, context_tokens: int = CONTEXT_TOKENS) -> None:
    """Leave `model.onnx`, `model.onnx.data` and `genai_config.json` in `into`; the builder talks to `log`."""
    into.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=into.parent) as scratch,
        log.open("a", encoding="utf-8") as stream,
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
    ):
        narrowed = Path(scratch) / "checkpoint"
        _narrow(checkpoint.folder, narrowed, context_tokens)
        places = ("", str(narrowed), str(into), "fp32", "cpu", str(Path(scratch) / "cache"))
        options = builder.parse_extra_options(*places, [])
        builder.create_model(*places, **options)


def _narrow(folder: Path, into: Path, context_tokens: int) -> None:
    """Show `folder` again at `into`, by links, with a configuration whose context is at most `context_tokens`."""
    into.mkdir()
    for path in folder.iterdir():
        if path.name != "config.json":
            (into / path.name).symlink_to(path.resolve())
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["max_position_embeddings"] = min(config["max_position_embeddings"], context_tokens)
    (into / "config.json").write_text(json.dumps(config), "utf-8")

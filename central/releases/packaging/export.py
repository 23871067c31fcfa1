"""Exports a prepared checkpoint as the graph that schools run, by onnxruntime-genai's builder or by optimum.

Its matrices are left out. They are what a model is large by, and the next step reads them from the checkpoint itself,
one at a time: so the builder makes a graph of 27 billion weights in the memory, and on the disk, of one of 270 million.
The context is cut to what a school's PC serves: the rotary tables and the key-value buffers grow with it.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import onnx_ir
import torch
from accelerate import init_empty_weights
from onnxruntime_genai.models import builder
from transformers import Gemma3ForCausalLM

from central.releases.packaging.checkpoint import Checkpoint
from central.releases.packaging.errors import ExporterRefused
from central.releases.packaging.optimum_export import optimum_export
from central.releases.packaging.serving_graph import serving_graph_write
from central.releases.packaging.stored_floats import StoredFloats
from central.releases.recipe import BUILDER, OPTIMUM

CONTEXT_TOKENS = 4096
_FLOAT = onnx_ir.DataType.FLOAT
_BUILT = "Gemma3ForCausalLM"
# How optimum shows that it does not know a model: it says so, or finds no entry for it in its tables.
_REFUSALS = (NotImplementedError, ValueError, KeyError)


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
    """Leave the float32 graph in `into`: `model.onnx`, which names its matrices, and the rest in `model.onnx.data`.

    `exporter`, one of the recipe's, talks to `log`.

    Raises:
        ExporterRefused: it does not know the checkpoint's architecture.
        GraphUnexpected: optimum's graph is not one that a school's engine can be given.
    """
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        if exporter == OPTIMUM:
            plain = Path(scratch) / "plain"
            _export_plain(checkpoint, plain, log)
            serving_graph_write(plain=plain, into=into)
        else:
            _build(checkpoint, into, log, Path(scratch), context_tokens)


def _export_plain(checkpoint: Checkpoint, into: Path, log: Path) -> None:
    try:
        optimum_export(checkpoint=checkpoint, into=into, log=log, has_positions=True)
    except _REFUSALS as error:
        raise _refusal(checkpoint, OPTIMUM, f"{type(error).__name__}: {error}") from error


def _refusal(checkpoint: Checkpoint, exporter: str, problem: str) -> ExporterRefused:
    return ExporterRefused(
        exporter=exporter,
        architecture=_architecture(checkpoint),
        problem=problem,
        other=BUILDER if exporter == OPTIMUM else OPTIMUM,
    )


def _build(checkpoint: Checkpoint, into: Path, log: Path, scratch: Path, context_tokens: int) -> None:
    """Let onnxruntime-genai's builder leave its graph in `into`."""
    if _BUILT not in _architecture(checkpoint).split(", "):
        raise _refusal(checkpoint, BUILDER, f"it is only for {_BUILT}")
    with (
        log.open("a", encoding="utf-8") as stream,
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
        torch.no_grad(),
    ):
        narrowed, cache = scratch / "checkpoint", scratch / "cache"
        _narrow(checkpoint.folder, narrowed, context_tokens)
        cache.mkdir()
        options = builder.parse_extra_options("", str(narrowed), str(into), "fp32", "cpu", str(cache), [])
        config = options.pop("hf_details")["hf_config"]
        graph = _GraphWithoutMatrices(config, _FLOAT, _FLOAT, "cpu", str(cache), options)
        graph.make_model(str(checkpoint.folder))
        graph.save_model(str(into))


class _GraphWithoutMatrices(builder.Gemma3Model):
    """The builder's Gemma 3 with its matrices left out and the frequencies of its windows put right."""

    def __init__(self, config: Any, *others: Any) -> None:  # noqa: ANN401 - the builder's
        self._config = config
        super().__init__(config, *others)

    def is_local(self, layer_id: int) -> bool:
        """Tell whether the layer has a window; the builder takes every sixth one not to."""
        kind: str = self._config.layer_types[layer_id]
        return kind == "sliding_attention"

    def make_rotary_embedding_caches_from_scratch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and sines, those of layers with a window unscaled.

        From 4B on Gemma 3 stretches the positions of layers without a window by 8. The builder, in 0.15.2, stretches
        those of all layers, and the model answers with garbage (onnxruntime-genai issue 2277).
        """
        if hasattr(self, "cos_cache_local_name"):
            self.rope_attrs["rescale_factors"] = 1
        tables: tuple[torch.Tensor, torch.Tensor] = super().make_rotary_embedding_caches_from_scratch()
        return tables

    def load_weights(self, input_path: str) -> Gemma3ForCausalLM:
        """Return the model of the folder `input_path`, of whose weights only the norms have values."""
        with init_empty_weights(include_buffers=False):
            model = Gemma3ForCausalLM(self._config).eval()
        stored = StoredFloats(Path(input_path))
        # The builder adds 1 to a norm in its own type.
        norms = {name: stored[name].float() for name, weight in model.named_parameters() if weight.ndim == 1}
        model.load_state_dict(norms, strict=False, assign=True)
        return model

    def make_initializer(self, tensor: Any, /, name: str, to: Any = None) -> None:  # noqa: ANN401 - the builder's
        """Keep the values of `tensor` in the graph, or only its name where it has none."""
        if isinstance(tensor, torch.Tensor) and tensor.is_meta:
            self.make_value(name, to, tensor.shape)
        else:
            super().make_initializer(tensor, name, to=to)


def _architecture(checkpoint: Checkpoint) -> str:
    config = json.loads((checkpoint.folder / "config.json").read_text("utf-8"))
    return ", ".join(config.get("architectures") or [str(config.get("model_type"))])


def _narrow(folder: Path, into: Path, context_tokens: int) -> None:
    """Write the settings of `folder` into `into`, with a context of at most `context_tokens`."""
    into.mkdir()
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["max_position_embeddings"] = min(config["max_position_embeddings"], context_tokens)
    (into / "config.json").write_text(json.dumps(config), "utf-8")

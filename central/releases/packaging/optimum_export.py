"""optimum's export of a prepared checkpoint: a float32 graph of ONNX's own operators, validated against PyTorch.

As it comes it is the reference that packages are judged against. With `has_positions` it takes the place of each token
as an input, where optimum's own form counts from the length of the past: what serves several rows at once cannot.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from optimum.exporters.onnx import main_export
from optimum.exporters.tasks import TasksManager
from transformers import AutoConfig

from central.releases.packaging.checkpoint import Checkpoint

POSITIONS = "position_ids"
_TASK = "text-generation"
# From here on there are GELU by tanh as one operator, and float8.
_OPSET = 20


def optimum_export(*, checkpoint: Checkpoint, into: Path, log: Path, has_positions: bool = False) -> None:
    """Leave optimum's validated float32 graph of `checkpoint` in the folder `into`; optimum talks to `log`.

    Raises:
        ValueError, KeyError: optimum does not know the architecture.
    """
    into.mkdir(parents=True, exist_ok=True)
    with (
        log.open("a", encoding="utf-8") as stream,
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
    ):
        main_export(
            str(checkpoint.folder),
            output=into,
            task=f"{_TASK}-with-past",
            opset=_OPSET if has_positions else None,
            dtype="fp32",
            device="cpu",
            do_validation=True,
            local_files_only=True,
            custom_onnx_configs={"model": _positioned(checkpoint.folder)} if has_positions else None,
        )


def _positioned(folder: Path) -> Any:  # noqa: ANN401 - optimum is untyped
    """Return optimum's settings of the checkpoint in `folder`, with the positions among the inputs."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)  # nosec B615 # a folder here
    kind: Any = TasksManager.get_exporter_config_constructor(
        "onnx", model_type=config.model_type, task=_TASK, library_name="transformers"
    ).func

    def inputs(self: Any) -> dict[str, dict[int, str]]:  # noqa: ANN401 - optimum is untyped
        return kind.inputs.fget(self) | {POSITIONS: {0: "batch_size", 1: "sequence_length"}}

    positioned = type("Positioned", (kind,), {"inputs": property(inputs)})
    return positioned(config, task=_TASK, use_past=True, use_past_in_inputs=True)

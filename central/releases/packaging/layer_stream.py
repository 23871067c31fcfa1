"""Runs a prepared checkpoint's layers over text with one layer in memory at a time, whatever its size.

The files are mapped, so that of a table of words only the rows that are looked at are read. All arithmetic is float32:
the figures are the same on every machine, and bfloat16 is many times slower where a processor has no instructions for
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from accelerate import init_empty_weights
from safetensors import safe_open
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import Gemma3TextConfig, Gemma3TextModel

from central.releases.packaging.text_names import EMBEDDING, HEAD

# A table is converted to float32 and multiplied by pieces: for all words at once the logits would take gigabytes.
_ROWS_AT_ONCE = 8192


class LayerStream:
    """The floats of the prepared checkpoint in `folder`, read when they are needed."""

    def __init__(self, folder: Path, *, rows_at_once: int = _ROWS_AT_ONCE) -> None:
        """Look at the files' headers only; of the head, `rows_at_once` are multiplied at a time."""
        self._rows_at_once = rows_at_once
        self._config = Gemma3TextConfig.from_pretrained(folder)
        self._places: dict[str, Path] = {}
        for path in sorted(folder.glob("model*.safetensors")):
            with safe_open(path, framework="pt") as file:
                self._places |= dict.fromkeys(file.keys(), path)

    def embedded(self, ids: Sequence[int]) -> torch.Tensor:
        """Return what the first layer reads for `ids`: float32 (n, hidden)."""
        rows: torch.Tensor = self._tensor(EMBEDDING)[torch.tensor(ids)].float()
        return rows * self._config.hidden_size**0.5

    @torch.no_grad()
    def states(self, texts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the hidden states before the head, float32 (n, hidden), of each of `texts`, as `embedded` gives it."""
        model = self._model()
        found: dict[int, torch.Tensor] = {}
        # Texts of like length run together; what pads the end of one comes after all its tokens and changes none.
        for size in sorted({len(text).bit_length() for text in texts}):
            group = [number for number, text in enumerate(texts) if len(text).bit_length() == size]
            batch = pad_sequence([texts[number] for number in group], batch_first=True)
            states = model(inputs_embeds=batch, use_cache=False).last_hidden_state
            found |= {number: row[: len(texts[number])] for number, row in zip(group, states, strict=True)}
        return [found[number] for number in range(len(texts))]

    @torch.no_grad()
    def losses(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return for each of `states` (n, hidden) the nats, float32 (n,), that the id in `targets` (n,) costs there."""
        head = self._tensor(EMBEDDING if self._config.tie_word_embeddings else HEAD)
        normaliser = torch.full((len(states),), -torch.inf)
        for rows in head.split(self._rows_at_once):
            normaliser = torch.logaddexp(normaliser, (states @ rows.float().T).logsumexp(dim=-1))
        return normaliser - (states * head[targets].float()).sum(dim=-1)

    def _model(self) -> Gemma3TextModel:
        """Return the model without weights but for the last norm; a layer has its own while it runs."""
        with init_empty_weights(include_buffers=False):
            model = Gemma3TextModel(self._config).eval()
        self._fill(model.norm, prefix="model.norm.")
        for number, layer in enumerate(model.layers):
            fill = partial(self._fill, prefix=f"model.layers.{number}.")
            layer.register_forward_pre_hook(lambda module, _inputs, fill=fill: fill(module))
            layer.register_forward_hook(lambda module, _inputs, _output: _empty(module))
        return model

    def _fill(self, module: nn.Module, *, prefix: str) -> None:
        weights = {name: self._tensor(prefix + name).float() for name, _ in module.named_parameters()}
        module.load_state_dict(weights, assign=True)

    def _tensor(self, name: str) -> torch.Tensor:
        with safe_open(self._places[name], framework="pt") as file:
            tensor: torch.Tensor = file.get_tensor(name)
        return tensor


def _empty(module: nn.Module) -> None:
    module.to("meta")

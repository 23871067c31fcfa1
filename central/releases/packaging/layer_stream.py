"""Runs a prepared checkpoint in PyTorch with one layer in memory at a time, whatever its size.

The files are mapped, so that of a table of words only the rows that are looked at are read. All arithmetic is float32:
the figures are the same on every machine, and bfloat16 is many times slower where a processor has no instructions for
it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from accelerate import init_empty_weights
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import Gemma3TextConfig, Gemma3TextModel

from central.releases.packaging.stored_floats import StoredFloats
from central.releases.packaging.text_names import EMBEDDING, HEAD, NORM

# A table is converted to float32 and multiplied by pieces: for all words at once the logits would take gigabytes.
_ROWS_AT_ONCE = 8192
# What a layer computes of so many tokens is several times their states.
_TOKENS_AT_ONCE = 2048


class LayerStream:
    """The floats of the prepared checkpoint in `folder`, read when they are needed."""

    def __init__(self, folder: Path, *, rows_at_once: int = _ROWS_AT_ONCE) -> None:
        """Look at the files' headers only; of the head, `rows_at_once` are multiplied at a time."""
        self._rows_at_once = rows_at_once
        self._config = Gemma3TextConfig.from_pretrained(folder)  # nosec B615 # a folder here
        self._stored = StoredFloats(folder)

    def embedded(self, ids: Sequence[int]) -> torch.Tensor:
        """Return what the first layer reads for `ids`: float32 (n, hidden)."""
        rows: torch.Tensor = self._stored[EMBEDDING][torch.tensor(ids)].float()
        return rows * self._config.hidden_size**0.5

    @torch.no_grad()
    def states(
        self,
        texts: Sequence[torch.Tensor],
        *,
        progress: Callable[[float], None] = lambda _part: None,
        kept: Path | None = None,
    ) -> list[torch.Tensor]:
        """Return the hidden states before the head, float32 (n, hidden), of each of `texts`, as `embedded` gives it.

        After each layer the states are left in the file `kept`; the same texts go on from there after a cut.
        """
        states, first = _resumed(kept) if kept is not None and kept.exists() else (list(texts), 0)
        for number in range(first, self._config.num_hidden_layers):
            layer = self._layer(number)
            for group in _groups(states):
                # What pads the end of a text comes after all its tokens and changes none.
                batch = pad_sequence([states[place] for place in group], batch_first=True)
                rows = layer(inputs_embeds=batch, use_cache=False).last_hidden_state
                for place, row in zip(group, rows, strict=True):
                    states[place] = row[: len(states[place])].clone()
            if kept is not None:
                _keep(states, number + 1, kept)
            progress((number + 1) / self._config.num_hidden_layers)
        norm = self._layer(self._config.num_hidden_layers).norm
        return [norm(text) for text in states]

    @torch.no_grad()
    def losses(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return for each of `states` (n, hidden) the nats, float32 (n,), that the id in `targets` (n,) costs there."""
        head = self._head()
        normaliser = torch.full((len(states),), -torch.inf)
        for rows in head.split(self._rows_at_once):
            normaliser = torch.logaddexp(normaliser, (states @ rows.float().T).logsumexp(dim=-1))
        return normaliser - (states * head[targets].float()).sum(dim=-1)

    @torch.no_grad()
    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return for each of `states` (n, hidden) what is expected after it, float32 (n, vocabulary)."""
        return torch.cat([states @ rows.float().T for rows in self._head().split(self._rows_at_once)], dim=-1)

    def _head(self) -> torch.Tensor:
        return self._stored[EMBEDDING if self._config.tie_word_embeddings else HEAD]

    def _layer(self, number: int) -> Gemma3TextModel:
        """Return a model of the layer `number` alone, or, behind the last one, of the norm alone."""
        kinds = self._config.layer_types[number : number + 1]
        own = {**self._config.to_dict(), "num_hidden_layers": len(kinds), "layer_types": kinds}
        with init_empty_weights(include_buffers=False):
            model = Gemma3TextModel(Gemma3TextConfig.from_dict(own)).eval()
        # Of a layer of its own the model is no more than the masks and the rotation around it.
        if kinds:
            _fill(model.layers[0], self._stored, prefix=f"model.layers.{number}.")
            model.norm = nn.Identity()
        else:
            _fill(model.norm, self._stored, prefix=NORM.removesuffix("weight"))
        return model


def _fill(module: nn.Module, stored: StoredFloats, *, prefix: str) -> None:
    weights = {name: stored[prefix + name].float() for name, _ in module.named_parameters()}
    module.load_state_dict(weights, assign=True)


def _groups(texts: Sequence[torch.Tensor]) -> list[list[int]]:
    """Return the places of texts of like length, together as many as are run at once."""
    groups: list[list[int]] = []
    for place in sorted(range(len(texts)), key=lambda place: len(texts[place])):
        longest = len(texts[place])
        is_alike = groups and len(texts[groups[-1][0]]).bit_length() == longest.bit_length()
        if is_alike and longest * (len(groups[-1]) + 1) <= _TOKENS_AT_ONCE:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _keep(states: Sequence[torch.Tensor], layers: int, path: Path) -> None:
    """Leave `states` as they are after so many `layers` in the file `path`, whole or not at all."""
    draft = path.with_suffix(".part")
    torch.save({"layers": layers, "states": list(states)}, draft)
    with draft.open("rb") as stream:
        os.fsync(stream.fileno())
    draft.replace(path)


def _resumed(path: Path) -> tuple[list[torch.Tensor], int]:
    kept = torch.load(path, weights_only=True)
    return kept["states"], kept["layers"]

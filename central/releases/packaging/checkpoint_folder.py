"""Reads a transformers folder of Gemma 3: text or multimodal, of floats or packed integers, one tensor at a time."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import Gemma3TextConfig

from central.releases.packaging.checkpoint_card import TOKENIZER_FILE, file_digest, settings_write
from central.releases.packaging.checkpoint_weights import Weight, float_type, weights_write
from central.releases.packaging.errors import CheckpointIncomplete, UnsupportedArchitecture
from central.releases.packaging.kept_weights import KEPT
from central.releases.packaging.needs import ModelSize, size_read
from central.releases.packaging.packed_linear import packed_read, packing_read
from central.releases.packaging.text_names import SUPPORTED, names_check, text_name

_MULTIMODAL = "gemma3"
_CONFIG = "config.json"
_BESIDE = ("generation_config.json", TOKENIZER_FILE, "tokenizer_config.json", "chat_template.jinja")
FOLDER_FILES = (_CONFIG, *_BESIDE, "*.safetensors", "*.safetensors.index.json")


@dataclass(frozen=True)
class _Place:
    """A stored tensor: its file, its name in there, its shape."""

    path: Path
    name: str
    shape: tuple[int, ...]


class FolderCheckpoint:
    """The checkpoint in the transformers folder `source`.

    Raises:
        CheckpointIncomplete: a file, a tensor or a setting is missing or cannot be read; names it.
        UnsupportedArchitecture: it is not Gemma 3, or quantised in a way that is not read.
    """

    def __init__(self, source: Path) -> None:
        """Read the settings and the names of the tensors, not yet their values."""
        self._source = source
        original = _settings_read(source)
        self._config = _text_config(original, source)
        quantised = original.get("quantization_config")
        self._packing = None if quantised is None else packing_read(quantised, source=str(source))
        if not (source / TOKENIZER_FILE).is_file():
            raise CheckpointIncomplete(source=str(source), missing=TOKENIZER_FILE)
        self._places = _places(source)
        layers, is_tied = self._config["num_hidden_layers"], self._config.get("tie_word_embeddings", True)
        names_check(self._names(), layers=layers, is_tied=is_tied, source=str(source))
        self.name = Path(original.get("_name_or_path") or source.resolve().name).name

    def digest(self) -> str:
        """Return `sha256:` and 64 hex digits over the names and bytes of the settings and the weights."""
        summary = hashlib.sha256()
        settings = [self._source / name for name in (_CONFIG, *_BESIDE) if (self._source / name).is_file()]
        for path in settings + _weight_files(self._source) + sorted(self._source.glob("*.safetensors.index.json")):
            summary.update(f"{path.name} {file_digest(path)}\n".encode())
        return f"sha256:{summary.hexdigest()}"

    def size(self) -> ModelSize:
        """Return the sizes of the text model."""
        return size_read(Gemma3TextConfig.from_dict(self._config).to_dict())

    def prepared_bytes(self) -> int:
        """Return what the prepared files take at most: packed integers stay beside their floats."""
        stored = sum(path.stat().st_size for path in _weight_files(self._source))
        return stored if self._packing is None else stored + self._weights() * float_type(self._weights()).itemsize

    def write(self, into: Path, *, digest: str, progress: Callable[[float], None]) -> None:
        """Leave the prepared files of this checkpoint, whose digest is `digest`, in the folder `into`.

        Floats keep their type, so that the weights of a text model of floats are the same bytes. Packed integers become
        floats, in one type with all the others, and stay beside them.
        """
        dtype = None if self._packing is None else float_type(self._weights())
        stored = {} if dtype is None else {"torch_dtype": str(dtype).removeprefix("torch.")}
        settings_write(into / _CONFIG, self._config | stored)
        for name in _BESIDE:
            if (self._source / name).is_file():
                shutil.copyfile(self._source / name, into / name)
        weights_write(self._read(progress), into=into, dtype=dtype, digest=digest)

    def _names(self) -> list[str]:
        """The tensors as a float text model has them; parts that no reader knows under their own names."""
        names = []
        for stem, parts in self._places.items():
            packing = self._packing if self._packing and self._packing.codes in parts else None
            names += [f"{stem}.weight"] if packing or "weight" in parts else []
            names += [f"{stem}.{part}" for part in parts.keys() - (packing.parts if packing else {"weight"})]
        return names

    def _weights(self) -> int:
        factors = {"weight": 1} | ({self._packing.codes: self._packing.codes_in_word} if self._packing else {})
        stored = [(part, place) for parts in self._places.values() for part, place in parts.items() if part in factors]
        return sum(prod(place.shape) * factors[part] for part, place in stored)

    def _read(self, progress: Callable[[float], None]) -> Iterator[tuple[str, Weight]]:
        with ExitStack() as stack:
            files = {path: stack.enter_context(safe_open(path, framework="pt")) for path in _weight_files(self._source)}
            for done, (stem, parts) in enumerate(self._places.items(), start=1):
                tensors = {part: files[place.path].get_tensor(place.name) for part, place in parts.items()}
                yield f"{stem}.weight", tensors["weight"] if "weight" in tensors else self._unpacked(stem, tensors)
                progress(done / len(self._places))

    def _unpacked(self, stem: str, tensors: dict[str, torch.Tensor]) -> Weight:
        bias = tensors.pop("bias", None)
        # Some packers store a bias of zeros for layers that have none.
        if self._packing is None or (bias is not None and bias.any()):
            raise UnsupportedArchitecture(
                source=str(self._source), architecture=f"with {stem}.bias", supported=SUPPORTED
            )
        # The scales may be bfloat16, which numpy does not have.
        exact = {part: tensor.float() if tensor.is_floating_point() else tensor for part, tensor in tensors.items()}
        try:
            return packed_read({part: tensor.numpy() for part, tensor in exact.items()}, self._packing)
        except (KeyError, ValueError) as error:
            raise CheckpointIncomplete(source=str(self._source), missing=f"{stem}.weight") from error


def _settings_read(source: Path) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads((source / _CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointIncomplete(source=str(source), missing=_CONFIG) from error
    return settings


def _text_config(original: dict[str, Any], source: Path) -> dict[str, Any]:
    """Return the settings of the text model: all of them, or those of the text half with its defaults spelt out."""
    kind = original.get("model_type")
    if kind not in {SUPPORTED, _MULTIMODAL}:
        raise UnsupportedArchitecture(source=str(source), architecture=str(kind), supported=SUPPORTED)
    if kind == SUPPORTED:
        return {key: value for key, value in original.items() if key != "quantization_config"}
    config: dict[str, Any] = Gemma3TextConfig.from_dict(original.get("text_config", {})).to_dict()
    stored = config.pop("dtype", None) or original.get("dtype") or original.get("torch_dtype")
    # An instruction-tuned checkpoint names the end of a turn among its ends beside the halves, not in the text half.
    ids = {key: original[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if key in original}
    return config | ids | {"architectures": ["Gemma3ForCausalLM"], "model_type": SUPPORTED, "torch_dtype": stored}


def _weight_files(source: Path) -> list[Path]:
    return [path for path in sorted(source.glob("*.safetensors")) if not path.name.startswith(KEPT)]


def _places(source: Path) -> dict[str, dict[str, _Place]]:
    """Return the parts of each matrix by its text name without the last word: `weight`, or `qweight` and so on."""
    files = _weight_files(source)
    if not files:
        raise CheckpointIncomplete(source=str(source), missing="*.safetensors")
    places: dict[str, dict[str, _Place]] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    stem, _, part = (text_name(name) or "").rpartition(".")
                    if part:
                        place = _Place(path, name, tuple(file.get_slice(name).get_shape()))
                        places.setdefault(stem, {})[part] = place
        except (OSError, SafetensorError) as error:
            raise CheckpointIncomplete(source=str(source), missing=path.name) from error
    return places

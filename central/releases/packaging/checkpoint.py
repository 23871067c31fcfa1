"""Turns what a ministry has (a transformers folder or a GGUF file of a Gemma 3 text model) into one known folder form.

The folder holds `config.json`, `model*.safetensors`, `tokenizer.json`, `tokenizer_config.json`,
`generation_config.json` and `checkpoint.json` (what this is and where it came from). It appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gguf import GGUFReader
from safetensors.numpy import save_file

from central.releases.packaging.errors import CheckpointIncomplete, CheckpointMissing, UnsupportedArchitecture
from central.releases.packaging.gguf_tokenizer import gguf_tokenizer, tokenizer_settings
from central.releases.packaging.gguf_weights import gguf_config, gguf_field, gguf_tensors
from central.releases.packaging.standin import NAME as STANDIN_NAME
from central.releases.packaging.standin import standin_assemble

SUPPORTED = "gemma3_text"
GEMMA_TERMS = "Gemma Terms of Use (https://ai.google.dev/gemma/terms)"
TURN_END = "<end_of_turn>"
_CARD = "checkpoint.json"
_COPIED = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Checkpoint:
    """A prepared folder and what it holds; `digest` names the source's bytes (`sha256:` and 64 hex digits)."""

    folder: Path
    name: str
    architecture: str
    licence: str
    digest: str


def checkpoint_prepare(*, source: Path | None, into: Path, progress: Progress) -> Checkpoint:
    """Leave the prepared folder of `source` at `into` and describe it; without a source take the installed stand-in.

    A folder that was at `into` is replaced at the end; after any error it is as it was.

    Raises:
        CheckpointMissing: nothing is at `source`, or the stand-in's package is not installed.
        CheckpointIncomplete: a file, tensor or setting is missing.
        UnsupportedArchitecture: it is not a Gemma 3 text model.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{into.name}-", dir=into.parent) as scratch:
        work = Path(scratch) / "folder"
        work.mkdir()
        if source is None:
            card = _from_gguf(standin_assemble(into=Path(scratch)), work, progress) | {"name": STANDIN_NAME}
        elif source.is_dir():
            card = _from_folder(source, work, progress)
        elif source.is_file():
            card = _from_gguf(source, work, progress)
        else:
            raise CheckpointMissing(source=str(source))
        _write_json(work / _CARD, card)
        if into.exists():
            shutil.rmtree(into)
        work.rename(into)
    progress("checkpoint", 1.0)
    return Checkpoint(folder=into, **card)


def checkpoint_open(folder: Path) -> Checkpoint:
    """Return the checkpoint that `checkpoint_prepare` left at `folder`.

    Raises:
        CheckpointMissing: there is none.
    """
    try:
        return Checkpoint(folder=folder, **json.loads((folder / _CARD).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointMissing(source=str(folder)) from error


def checkpoint_record(checkpoint: Checkpoint) -> None:
    """Write the description of `checkpoint` into its folder, where `checkpoint_open` finds it."""
    card = asdict(checkpoint)
    del card["folder"]
    _write_json(checkpoint.folder / _CARD, card)


def file_digest(path: Path) -> str:
    """Return `sha256:` and the hex digest of the file's bytes."""
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def _from_folder(source: Path, work: Path, progress: Progress) -> dict[str, str]:
    config = _config(source)
    weights = sorted(source.glob("*.safetensors")) + sorted(source.glob("*.safetensors.index.json"))
    missing = [name for name in ("tokenizer.json",) if not (source / name).is_file()]
    if missing or not weights:
        raise CheckpointIncomplete(source=str(source), missing=missing[0] if missing else "*.safetensors")
    summary = hashlib.sha256()
    copied = [source / name for name in _COPIED if (source / name).is_file()] + weights
    for done, path in enumerate(copied):
        shutil.copyfile(path, work / path.name)
        summary.update(f"{path.name} {file_digest(path)}\n".encode())
        progress("checkpoint", (done + 1) / len(copied))
    name = Path(config.get("_name_or_path") or source.resolve().name).name
    return _describe(name=name, digest=f"sha256:{summary.hexdigest()}")


def _config(source: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((source / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointIncomplete(source=str(source), missing="config.json") from error
    if config.get("model_type") != SUPPORTED:
        raise UnsupportedArchitecture(
            source=str(source), architecture=str(config.get("model_type")), supported=SUPPORTED
        )
    return config


def _from_gguf(source: Path, work: Path, progress: Progress) -> dict[str, str]:
    reader = _gguf_open(source)
    config = gguf_config(reader, source=source)
    progress("checkpoint", 0.1)
    tokenizer = gguf_tokenizer(reader, source=source)
    progress("checkpoint", 0.4)
    tensors = gguf_tensors(reader, layers=config["num_hidden_layers"], source=source)
    progress("checkpoint", 0.7)
    save_file(tensors, work / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(work / "tokenizer.json"), pretty=False)
    pieces = gguf_field(reader, "tokenizer.ggml.tokens")
    ids = {role: config[f"{role}_id"] for role in ("bos_token", "eos_token", "pad_token")}
    names = {role: pieces[i] for role, i in ids.items()} | {"unk_token": "<unk>"}
    context_tokens = config["max_position_embeddings"]
    _write_json(work / "config.json", config)
    _write_json(
        work / "tokenizer_config.json", tokenizer_settings(tokenizer, names=names, context_tokens=context_tokens)
    )
    ends = [i for i in (ids["eos_token"], tokenizer.token_to_id(TURN_END)) if i is not None]
    _write_json(work / "generation_config.json", ids_for_generation(ids, ends))
    name = gguf_field(reader, "general.name", source.stem)
    return _describe(name=name, digest=file_digest(source))


def ids_for_generation(ids: dict[str, int], ends: list[int]) -> dict[str, Any]:
    """Return `generation_config.json`: `ends` are the tokens at which an answer is over."""
    return {"bos_token_id": ids["bos_token"], "eos_token_id": ends, "pad_token_id": ids["pad_token"]}


def _gguf_open(source: Path) -> GGUFReader:
    try:
        reader = GGUFReader(source)
    except (ValueError, OSError) as error:
        raise UnsupportedArchitecture(source=str(source), architecture="unreadable", supported=SUPPORTED) from error
    architecture = gguf_field(reader, "general.architecture")
    if architecture != "gemma3":
        raise UnsupportedArchitecture(source=str(source), architecture=str(architecture), supported=SUPPORTED)
    return reader


def _describe(*, name: str, digest: str) -> dict[str, str]:
    return {"name": name, "architecture": SUPPORTED, "licence": GEMMA_TERMS, "digest": digest}


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", "utf-8")

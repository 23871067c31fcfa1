"""Turns what a ministry has into one known folder form: a Gemma 3 text model with plain float weights.

It takes a transformers folder (text or multimodal; floats or packed integers), a GGUF file, or a hub's id of a folder.
The prepared folder holds `config.json`, `model*.safetensors`, `tokenizer.json`, `tokenizer_config.json`,
`generation_config.json` and `checkpoint.json` (what this is and where it came from), and beside them, in
`kept*.safetensors`, the integers of a source that was quantised. It appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import Gemma3TextConfig

from central.releases.packaging.checkpoint_card import Checkpoint, checkpoint_open, checkpoint_record
from central.releases.packaging.checkpoint_folder import FolderCheckpoint
from central.releases.packaging.checkpoint_gguf import GgufCheckpoint
from central.releases.packaging.errors import CheckpointMissing
from central.releases.packaging.hub import hub_fetch, is_hub_id
from central.releases.packaging.needs import ModelSize, size_read
from central.releases.packaging.standin import NAME as STANDIN_NAME
from central.releases.packaging.standin import standin_assemble
from central.releases.packaging.step_folder import FINISHED, step_finish
from central.releases.packaging.text_names import SUPPORTED

GEMMA_TERMS = "Gemma Terms of Use (https://ai.google.dev/gemma/terms)"
_FORM = "2"

Progress = Callable[[str, float], None]
Admission = Callable[[ModelSize, int], None]


@dataclass(frozen=True)
class _Source:
    """A reader, and what the checkpoint is called where neither the files nor their place say it right."""

    reader: FolderCheckpoint | GgufCheckpoint
    place: str
    name: str = ""


def checkpoint_prepare(*, source: Path | None, into: Path, progress: Progress) -> Checkpoint:
    """Leave the prepared folder of `source` at `into` and describe it; without a source take the installed stand-in.

    A `source` that is no path but may be a hub's id, such as `google/gemma-3-1b-it`, is fetched beside `into`. A folder
    that was at `into` is replaced at the end; after any error it is as it was.

    Raises:
        CheckpointMissing: nothing is at `source`, nor on a hub, or the stand-in's package is not installed.
        CheckpointIncomplete: a file, tensor or setting is missing.
        UnsupportedArchitecture: it is not a Gemma 3 text model, or quantised in a way that is not read.
    """
    work = into.parent
    with _source_open(source, work=work) as found:
        return _prepare(found, digest=found.reader.digest(), into=into, work=work, progress=progress)


def checkpoint_cached(
    *, source: Path | None, work: Path, progress: Progress, admit: Admission | None = None
) -> Checkpoint:
    """Return the prepared checkpoint of `source`, kept in the folder `work` from an earlier time where it has been.

    The same bytes from a place of the same name are prepared once. `admit` hears the sizes of the model, and how many
    bytes preparing will write, before anything is written. Raises what it and `checkpoint_prepare` raise.
    """
    with _source_open(source, work=work) as found:
        progress("checkpoint", 0.0)
        digest = found.reader.digest()
        key = hashlib.sha256(f"{_FORM}\n{digest}\n{found.place}".encode()).hexdigest()[:16]
        folder = work / f"prepared-{key}"
        is_finished = (folder / FINISHED).exists()
        if admit is not None:
            # A file's own settings take seconds to read, those of a prepared folder none.
            size = _size(folder / "checkpoint") if is_finished else found.reader.size()
            admit(size, 0 if is_finished else found.reader.prepared_bytes())
        if not is_finished:
            _prepare(found, digest=digest, into=folder / "checkpoint", work=work, progress=progress)
            step_finish(folder)
    progress("checkpoint", 1.0)
    return checkpoint_open(folder / "checkpoint")


def _size(folder: Path) -> ModelSize:
    config = Gemma3TextConfig.from_dict(json.loads((folder / "config.json").read_text("utf-8")))
    return size_read(config.to_dict())


@contextmanager
def _source_open(source: Path | None, *, work: Path) -> Iterator[_Source]:
    """Yield what reads `source`; the stand-in's file is gone afterwards, what a hub gave stays in `work`."""
    work.mkdir(parents=True, exist_ok=True)
    if source is None:
        with tempfile.TemporaryDirectory(prefix=".standin-", dir=work) as scratch:
            reader = GgufCheckpoint(standin_assemble(into=Path(scratch)))
            yield _Source(reader, place=STANDIN_NAME, name=STANDIN_NAME)
    elif source.exists():
        kind = FolderCheckpoint if source.is_dir() else GgufCheckpoint
        yield _Source(kind(source), place=source.resolve().name)
    elif is_hub_id(source.as_posix()):
        fetched = hub_fetch(source.as_posix(), cache=work / "hub")
        yield _Source(FolderCheckpoint(fetched), place=source.as_posix(), name=source.name)
    else:
        raise CheckpointMissing(source=str(source))


def _prepare(found: _Source, *, digest: str, into: Path, work: Path, progress: Progress) -> Checkpoint:
    with tempfile.TemporaryDirectory(prefix=f".{into.name}-", dir=work) as scratch:
        folder = Path(scratch) / "folder"
        folder.mkdir()
        found.reader.write(folder, digest=digest, progress=lambda part: progress("checkpoint", part))
        name = found.name or found.reader.name
        prepared = Checkpoint(folder=into, name=name, architecture=SUPPORTED, licence=GEMMA_TERMS, digest=digest)
        checkpoint_record(replace(prepared, folder=folder))
        into.parent.mkdir(parents=True, exist_ok=True)
        if into.exists():
            shutil.rmtree(into)
        folder.rename(into)
    return prepared

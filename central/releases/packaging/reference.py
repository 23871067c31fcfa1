"""The float32 reference that a package is judged against, made without the code that makes the shipped graph.

A small model's is optimum's export, which optimum validates against PyTorch's own output, run by ONNX Runtime. That
holds the model in memory several times, so a larger one is run by PyTorch itself, one layer at a time. Both give the
same figures. Where optimum makes the shipped graph as well, what is compared with its plain operators are those that
took their place.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from central.releases.packaging.checkpoint import Checkpoint
from central.releases.packaging.checkpoint_card import TOKENIZER_FILE
from central.releases.packaging.export import context_served
from central.releases.packaging.layer_stream import LayerStream
from central.releases.packaging.optimum_export import optimum_export
from central.releases.packaging.parity import POSITIONS, Probe, log_probabilities, probes_make
from central.releases.packaging.step_folder import STATES
from federation.inference.prompt import ChatTokenizer

# optimum's export of 270 million weights takes 5 GB of memory, of a billion more than most machines have.
LARGEST_WHOLE = 500_000_000
_PIECE_TOKENS = 300
_MEASURES = "measures.json"
_GRAPH = "graph"


@dataclass(frozen=True, eq=False)
class ReferenceMeasures:
    """What float32 says: perplexity by language, and log-probabilities float32 (n, vocabulary) a probe."""

    perplexity: Mapping[str, float]
    probes: Sequence[Probe]
    log_probabilities: Sequence[NDArray[np.float32]]


def reference_whole(
    checkpoint: Checkpoint,
    *,
    texts: Mapping[str, str],
    into: Path,
    progress: Callable[[float], None],
    threads: int,
) -> None:
    """Leave in the folder `into` what optimum's graph says of `texts`, by language, for `reference_open`.

    The graph itself is thrown away.
    """
    graph = into / _GRAPH
    shutil.rmtree(graph, ignore_errors=True)
    optimum_export(checkpoint=checkpoint, into=graph, log=into / "optimum.log")
    progress(0.5)
    reference = Reference(graph, tokenizer=checkpoint.folder / TOKENIZER_FILE, threads=threads)
    probes = _probes(checkpoint, reference.tokenizer, texts)
    for number, probe in enumerate(probes):
        _probe_record(reference.logits(list(probe.ids))[-POSITIONS:], number, into)
    perplexity = {}
    for done, (language, text) in enumerate(texts.items(), start=1):
        perplexity[language] = reference.perplexity(text)
        progress(0.5 + done / len(texts) / 2)
    _record(perplexity, probes, into)
    del reference
    shutil.rmtree(graph)


def reference_stream(
    checkpoint: Checkpoint,
    *,
    texts: Mapping[str, str],
    into: Path,
    progress: Callable[[float], None],
) -> None:
    """Leave in the folder `into` what PyTorch says of `texts`, as `reference_whole` does, a layer at a time.

    After a cut it goes on behind the last layer whose states lie in `into`.
    """
    tokenizer = ChatTokenizer(checkpoint.folder / TOKENIZER_FILE)
    stream = LayerStream(checkpoint.folder)
    probes = _probes(checkpoint, tokenizer, texts)
    pieces = [(language, ids) for language, text in texts.items() for ids in _pieces(tokenizer, text)]
    embedded = [stream.embedded(ids) for ids in [*(probe.ids for probe in probes), *(ids for _, ids in pieces)]]
    states = stream.states(embedded, kept=into / STATES, progress=progress)
    for number in range(len(probes)):
        _probe_record(stream.logits(states[number][-POSITIONS:]).numpy(), number, into)
    scored = states[len(probes) :]
    targets = torch.tensor([token for _, ids in pieces for token in ids[1:]])
    losses = stream.losses(torch.cat([piece[:-1] for piece in scored]), targets)
    means = [float(piece.mean()) for piece in losses.split([len(ids) - 1 for _, ids in pieces])]
    by_language: dict[str, list[float]] = {}
    for (language, _), mean in zip(pieces, means, strict=True):
        by_language.setdefault(language, []).append(mean)
    _record({language: math.exp(fmean(found)) for language, found in by_language.items()}, probes, into)
    (into / STATES).unlink()


def reference_open(folder: Path) -> ReferenceMeasures:
    """Return what a reference has left in `folder`; the arrays stay on the disk until they are read."""
    document = json.loads((folder / _MEASURES).read_text("utf-8"))
    probes = [Probe(probe["language"], probe["length"], tuple(probe["ids"])) for probe in document["probes"]]
    arrays = [np.load(folder / f"probe-{number}.npy", mmap_mode="r") for number in range(len(probes))]
    return ReferenceMeasures(document["perplexity"], probes, arrays)


class Reference:
    """The reference graph, loaded."""

    def __init__(self, folder: Path, *, tokenizer: Path, threads: int | None = None) -> None:
        """Load the graph in `folder` and the checkpoint's tokenizer.json."""
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        self.tokenizer = ChatTokenizer(tokenizer)

    def logits(self, ids: list[int]) -> NDArray[np.float32]:
        """Return float32 (len(ids), vocabulary): what the model expects after each of `ids`."""
        feed: dict[str, NDArray[np.generic]] = {}
        for entry in self._session.get_inputs():
            if entry.name.startswith("past_key_values"):
                heads, size = entry.shape[1], entry.shape[3]
                feed[entry.name] = np.zeros((1, heads, 0, size), np.float32)
        feed["input_ids"] = np.array([ids], np.int64)
        feed["attention_mask"] = np.ones((1, len(ids)), np.int64)
        names = {entry.name for entry in self._session.get_inputs()}
        if "position_ids" in names:
            feed["position_ids"] = np.arange(len(ids), dtype=np.int64)[None]
        (logits,) = self._session.run(["logits"], feed)
        return np.asarray(logits[0], np.float32)

    def perplexity(self, text: str) -> float:
        """Return the perplexity of `text`, measured as `Engine.perplexity` measures it."""
        return math.exp(fmean(self._loss(piece) for piece in _pieces(self.tokenizer, text)))

    def _loss(self, ids: list[int]) -> float:
        logits = self.logits(ids[:-1])
        highest = logits.max(axis=-1)
        normaliser = np.log(np.exp(logits - highest[:, None]).sum(axis=-1)) + highest
        return float((normaliser - logits[np.arange(len(ids) - 1), ids[1:]]).mean())


def _probes(checkpoint: Checkpoint, tokenizer: ChatTokenizer, texts: Mapping[str, str]) -> list[Probe]:
    config = json.loads((checkpoint.folder / "config.json").read_text("utf-8"))
    return probes_make(
        tokenizer, texts, context_tokens=context_served(checkpoint), window_tokens=int(config["sliding_window"])
    )


def _pieces(tokenizer: ChatTokenizer, text: str) -> list[list[int]]:
    """Return the ids of `text` in pieces that stand alone, each begun by BOS."""
    ids = tokenizer.words(text)
    return [[tokenizer.bos, *ids[start : start + _PIECE_TOKENS]] for start in range(0, len(ids), _PIECE_TOKENS)]


def _probe_record(logits: NDArray[np.float32], number: int, into: Path) -> None:
    np.save(into / f"probe-{number}.npy", log_probabilities(logits))


def _record(perplexity: Mapping[str, float], probes: Sequence[Probe], into: Path) -> None:
    document = {"perplexity": perplexity, "probes": [asdict(probe) for probe in probes]}
    (into / _MEASURES).write_text(json.dumps(document), "utf-8")

"""The float32 reference that a package is judged against: optimum's export of the same checkpoint, run by ONNX Runtime.

optimum validates the graph against PyTorch's own output while it exports. It shares no code with the builder that makes
the shipped graph, so that one wrong operator does not hide in both. Where optimum makes the shipped graph as well, what
is compared with its plain operators are those that took their place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from central.releases.packaging.parity import POSITIONS, Probe, log_probabilities, probes_make
from federation.inference.prompt import ChatTokenizer

_PIECE_TOKENS = 300
_MEASURES = "measures.json"


@dataclass(frozen=True, eq=False)
class ReferenceMeasures:
    """What the float32 graph says: perplexity by language, and log-probabilities float32 (n, vocabulary) a probe."""

    perplexity: Mapping[str, float]
    probes: Sequence[Probe]
    log_probabilities: Sequence[NDArray[np.float32]]


def reference_measure(
    reference: Reference,
    *,
    texts: Mapping[str, str],
    context_tokens: int,
    into: Path,
    progress: Callable[[float], None],
) -> None:
    """Leave in the folder `into` what `reference` says of `texts`, by language, for `reference_open`."""
    probes = probes_make(reference.tokenizer, texts, context_tokens=context_tokens)
    for number, probe in enumerate(probes):
        expected = log_probabilities(reference.logits(list(probe.ids))[-POSITIONS:])
        np.save(into / f"probe-{number}.npy", expected)
    perplexity = {}
    for done, (language, text) in enumerate(texts.items(), start=1):
        perplexity[language] = reference.perplexity(text)
        progress(done / len(texts))
    document = {"perplexity": perplexity, "probes": [asdict(probe) for probe in probes]}
    (into / _MEASURES).write_text(json.dumps(document), "utf-8")


def reference_open(folder: Path) -> ReferenceMeasures:
    """Return what `reference_measure` left in `folder`; the arrays stay on the disk until they are read."""
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
        ids = self.tokenizer.words(text)
        losses = []
        for start in range(0, len(ids), _PIECE_TOKENS):
            piece = ids[start : start + _PIECE_TOKENS]
            losses.append(self._loss([self.tokenizer.bos, *piece]))
        return math.exp(sum(losses) / len(losses))

    def _loss(self, ids: list[int]) -> float:
        logits = self.logits(ids[:-1])
        highest = logits.max(axis=-1)
        normaliser = np.log(np.exp(logits - highest[:, None]).sum(axis=-1)) + highest
        return float((normaliser - logits[np.arange(len(ids) - 1), ids[1:]]).mean())

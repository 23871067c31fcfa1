"""A package's graph in ONNX Runtime: runs tokens against rows of a key-value cache that it updates in place.

The graph takes `input_ids` and `attention_mask` int64, `past_key_values.*` and the factors of adapter slots (empty by
default). `score.targets` int64 (rows, n) names the tokens that should come next for the last n tokens of a row; n is 0
while chatting. It gives `logits` float32 (rows, 1, vocabulary) of the last token, `score.logits` (rows, n, vocabulary),
and `score.logprobs` (rows, n), computed only when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from federation.inference.errors import EngineFailed
from federation.inference.file_pages import FilePages
from federation.inference.key_value_cache import CacheShape, KeyValueCache
from federation.inference.providers import CPU

GRAPH = "model.onnx"
WEIGHTS = "model.onnx.data"
TARGETS = "score.targets"
LOGPROBS = "score.logprobs"
SCORE_LOGITS = "score.logits"
WINDOWS = "soro.attention_windows"
Factors = Mapping[str, onnxruntime.OrtValue]
NO_FACTORS: Factors = {}
_ERRORS_ONLY = 3
_FOLDED_BYTES = 4096
_WORD_ROWS_BYTES = 2**20
_WIDENING = "FuseFp16InitializerToFp32NodeTransformer"
# ONNX Runtime's exceptions have no common base but Exception.
FAILURES = (
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoModel,
    native.NoSuchFile,
    native.NotImplemented,
    native.RuntimeException,
    RuntimeError,
)


class GraphSession:
    """A loaded graph with its cache; for one thread at a time."""

    def __init__(
        self,
        package: Path,
        *,
        rows: int,
        context_tokens: int,
        threads: int | None,
        providers: Sequence[str] = (CPU,),
    ) -> None:
        """Load the graph of the folder `package`, with a cache of `rows` rows of `context_tokens` tokens.

        The first of ONNX Runtime's `providers` that has an operator computes it; the cache is the CPU's memory.

        Raises:
            EngineFailed: ONNX Runtime refuses it, or its inputs are not those of a package.
        """
        self._package = package
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        # It warns of every slot that an adapter may fill.
        options.log_severity_level = _ERRORS_ONLY
        # Shapes change with every run: a memory plan for each of them would only pile up.
        options.enable_mem_pattern = False
        # What is small on the disk stays so in memory: float16 and float8 weights would be made float32 at load.
        options.add_session_config_entry("optimization.constant_folding_max_output_size_in_bytes", str(_FOLDED_BYTES))
        options.add_session_config_entry("optimization.disable_specified_optimizers", _WIDENING)
        try:
            self._session = onnxruntime.InferenceSession(package / GRAPH, options, providers=list(providers))
        except FAILURES as error:
            raise EngineFailed(path=str(package), problem=str(error)) from error
        # Loading has read all weights once; later only the words' rows are read where they lie, the largest matrices.
        FilePages(package / WEIGHTS).release()
        self._word_rows = FilePages(package / WEIGHTS, smallest_bytes=_WORD_ROWS_BYTES)
        pasts = [entry for entry in self._session.get_inputs() if entry.name.startswith("past_key_values.")]
        if not pasts or len(pasts) % 2:
            raise EngineFailed(path=str(package), problem="the graph takes no past keys and values")
        self.vocabulary = int(next(o.shape[-1] for o in self._session.get_outputs() if o.name == "logits"))
        _, heads, _, head_size = pasts[0].shape
        windows = _windows(self._session, layers=len(pasts) // 2)
        shape = CacheShape(heads=heads, head_size=head_size, tokens=context_tokens, windows=windows)
        self.cache = KeyValueCache(shape, rows=rows)
        self._bindings: dict[tuple[int, int, int], tuple[Factors, onnxruntime.IOBinding]] = {}

    def read(self, *, first_row: int, ids: NDArray[np.int64], factors: Factors = NO_FACTORS) -> NDArray[np.float32]:
        """Read `ids` (rows, n) behind what the rows from `first_row` on hold; return logits float32 (rows, vocabulary).

        Rows of different lengths can be read together one token each; more tokens go one row at a time.

        Raises:
            EngineFailed: ONNX Runtime broke down; the rows hold what they held.
        """
        rows = len(ids)
        logits = np.empty((rows, 1, self.vocabulary), np.float32)
        binding = self._kept_binding(first_row, rows, factors)
        self._bind_tokens(binding, first_row, ids, np.empty((rows, 0), np.int64))
        binding.bind_output("logits", "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
        self._run(binding)
        if ids.shape[1] > 1:
            # A prompt reads the rows of hundreds of words.
            self._word_rows.release()
        for row in range(rows):
            self.cache.extend(first_row + row, ids[row].tolist())
        return logits[:, 0]

    def score(
        self, *, row: int, ids: Sequence[int], targets: Sequence[int], factors: Factors, output: str = LOGPROBS
    ) -> NDArray[np.float32]:
        """Read `ids` into `row`, empty before and after; return, for the last len(targets) tokens, what `output` names.

        That is float32 (n,) log-probabilities of `targets`, or float32 (n, vocabulary) logits for SCORE_LOGITS.

        Raises:
            EngineFailed: ONNX Runtime broke down.
        """
        self.cache.truncate(row, 0)
        binding = self._binding(row, 1, factors)
        self._bind_tokens(binding, row, np.array([ids], np.int64), np.array([targets], np.int64))
        binding.bind_output(output, "cpu")
        self._run(binding)
        self.cache.extend(row, ids)
        # Nobody notes with which factors this was read, so no prompt may go on from it.
        self.cache.truncate(row, 0)
        return np.array(binding.get_outputs()[-1].numpy()[0], np.float32)

    def _bind_tokens(
        self, binding: onnxruntime.IOBinding, first_row: int, ids: NDArray[np.int64], targets: NDArray[np.int64]
    ) -> None:
        rows, added = ids.shape
        totals = np.array([self.cache.length(first_row + row) + added for row in range(rows)])
        # The attention reads only how many ones a row has: its tokens, the new ones included.
        mask = (np.arange(totals.max())[None] < totals[:, None]).astype(np.int64)
        for name, values in (("input_ids", ids), ("attention_mask", mask), (TARGETS, targets)):
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(values))

    def _kept_binding(self, first_row: int, rows: int, factors: Factors) -> onnxruntime.IOBinding:
        """Return the binding for these rows: naming the cache of every layer anew costs a tenth of a token's time."""
        key = (first_row, rows, id(factors))
        if key not in self._bindings:
            # The factors are kept beside it, so that their id stays theirs.
            self._bindings[key] = factors, self._binding(first_row, rows, factors)
        return self._bindings[key][1]

    def factors_drop(self, factors: Factors) -> None:
        """Forget the factors, which nobody will use again."""
        self._bindings = {key: kept for key, kept in self._bindings.items() if kept[0] is not factors}

    def _binding(self, first_row: int, rows: int, factors: Factors) -> onnxruntime.IOBinding:
        binding = self._session.io_binding()
        shape = (rows, self.cache.shape.heads, self.cache.shape.tokens, self.cache.shape.head_size)
        for layer in range(self.cache.shape.layers):
            for part, name in enumerate(("key", "value")):
                address = self.cache.address(layer=layer, part=part, row=first_row)
                # One memory for both: the attention then writes the new tokens where they belong and copies none.
                binding.bind_input(f"past_key_values.{layer}.{name}", "cpu", 0, np.float32, shape, address)
                binding.bind_output(f"present.{layer}.{name}", "cpu", 0, np.float32, shape, address)
        for name, factor in factors.items():
            binding.bind_ortvalue_input(name, factor)
        return binding

    def _run(self, binding: onnxruntime.IOBinding) -> None:
        try:
            self._session.run_with_iobinding(binding)
        except FAILURES as error:
            raise EngineFailed(path=str(self._package), problem=str(error)) from error


def _windows(session: onnxruntime.InferenceSession, *, layers: int) -> tuple[int, ...]:
    """Return how far each layer looks back, as the graph's own notes say; without notes all the way."""
    noted = session.get_modelmeta().custom_metadata_map.get(WINDOWS, "")
    windows = tuple(int(window) for window in noted.split(",") if window)
    return windows if len(windows) == layers else (0,) * layers

"""Puts a package's files into its folder, and nothing else beside them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx

from central.releases.packaging.checkpoint import Checkpoint
from central.releases.packaging.checkpoint_card import TOKENIZER_FILE
from central.releases.packaging.graph_rewrite import GRAPH, WEIGHTS
from central.releases.packaging.quantise import WordOrder
from central.releases.packaging.trim_tokenizer import tokenizer_read, tokenizer_renumber
from federation.inference.package import TOKENIZER
from federation.tokenizer_file import tokenizer_pack


def package_gather(
    *, checkpoint: Checkpoint, graph: onnx.ModelProto, weights: Path, into: Path, words: WordOrder | None = None
) -> None:
    """Fill the empty folder `into` with graph, weights and tokenizer; the card is still missing.

    `weights` is moved when it lies on the same disk. With `words` the tokenizer gives the new ids.
    """
    into.mkdir(parents=True)
    onnx.save(graph, into / GRAPH)
    shutil.move(weights, into / WEIGHTS)
    (into / TOKENIZER).write_bytes(tokenizer_pack(_tokenizer(checkpoint.folder / TOKENIZER_FILE, words)))


def _tokenizer(path: Path, words: WordOrder | None) -> str:
    if words is None:
        return path.read_text("utf-8")
    new_ids = {int(old): new for new, old in enumerate(words.old_ids)}
    document = tokenizer_renumber(tokenizer_read(path), new_ids=new_ids)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))

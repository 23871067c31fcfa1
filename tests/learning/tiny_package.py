"""A serving package of a tiny random Gemma 3, made by the very steps that make a real one."""

from pathlib import Path

import onnx
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from central.releases.packaging.cache_sizes import cache_declare
from central.releases.packaging.checkpoint import Checkpoint
from central.releases.packaging.export import graph_export
from central.releases.packaging.graph_floats import FloatRounder, graph_narrow
from central.releases.packaging.quantise import Rounder, WordOrder, graph_quantise, nearest
from central.releases.packaging.scoring import scoring_add
from central.releases.packaging.slots import slots_add
from federation.tokenizer_file import tokenizer_pack
from tests.learning.tiny_gemma import tiny_gemma

CONTROLS = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]


def tiny_package(
    folder: Path,
    *,
    context_tokens: int = 64,
    rounder: Rounder | None = None,
    words: WordOrder | None = None,
    floats: FloatRounder | None = None,
) -> Path:
    """Leave `checkpoint` (transformers) and `package` in `folder` and return the package (8 bits by default)."""
    checkpoint, exported, package = folder / "checkpoint", folder / "exported", folder / "package"
    letters = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({piece: i for i, piece in enumerate([*CONTROLS, *letters])}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(CONTROLS)
    model = tiny_gemma(vocab_size=tokenizer.get_vocab_size(), context_tokens=context_tokens)
    model.save_pretrained(checkpoint)
    tokenizer.save(str(checkpoint / "tokenizer.json"))
    (checkpoint / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    named = Checkpoint(folder=checkpoint, name="tiny", architecture="gemma3_text", licence="none", digest="sha256:0")
    graph_export(checkpoint=named, into=exported, log=folder / "builder.log", context_tokens=context_tokens)
    places = {"source": exported, "into": package, "progress": lambda _: None}
    if floats is None:
        graph = graph_quantise(rounder=rounder or nearest(bits=8, block=32), words=words, **places)
    else:
        graph = graph_narrow(rounder=floats, **places)
    slots_add(graph)
    scoring_add(graph)
    cache_declare(graph)
    onnx.save(graph, package / "model.onnx")
    (package / "tokenizer.json.gz").write_bytes(tokenizer_pack(tokenizer.to_str()))
    return package

"""A serving package of the tiny Gemma 3 that tests train, with a tokenizer that knows every byte."""

from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from central.releases.packaging.checkpoint import Checkpoint
from central.releases.packaging.graph_floats import FloatRounder
from central.releases.packaging.quantise import Rounder, WordOrder
from central.releases.recipe import BUILDER
from tests.learning.tiny_gemma import tiny_gemma
from tests.tiny_checkpoint import CONTROLS, package_make


def tiny_package(
    folder: Path,
    *,
    context_tokens: int = 64,
    rounder: Rounder | None = None,
    words: WordOrder | None = None,
    floats: FloatRounder | None = None,
    exporter: str = BUILDER,
) -> Path:
    """Leave `checkpoint` (transformers) and `package` in `folder` and return the package (8 bits by default)."""
    checkpoint = folder / "checkpoint"
    letters = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({piece: i for i, piece in enumerate([*CONTROLS, *letters])}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(CONTROLS)
    model = tiny_gemma(vocab_size=tokenizer.get_vocab_size(), context_tokens=context_tokens)
    model.save_pretrained(checkpoint)
    tokenizer.save(str(checkpoint / "tokenizer.json"))
    (checkpoint / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    named = Checkpoint(folder=checkpoint, name="tiny", architecture="gemma3_text", licence="none", digest="sha256:0")
    return package_make(
        named, folder, context_tokens=context_tokens, rounder=rounder, words=words, floats=floats, exporter=exporter
    )

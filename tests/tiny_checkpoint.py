"""A Gemma 3 of some thousand random weights with a small real tokenizer: the whole packaging path in seconds."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from gguf import GGMLQuantizationType, GGUFWriter, quantize
from tokenizers import Tokenizer
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from central.releases.packaging.cache_sizes import cache_declare
from central.releases.packaging.checkpoint import Checkpoint, checkpoint_prepare
from central.releases.packaging.export import graph_export
from central.releases.packaging.gguf_tokenizer import SPACE, tokenizer_build
from central.releases.packaging.graph_floats import FloatRounder, graph_narrow
from central.releases.packaging.graph_rewrite import WEIGHTS
from central.releases.packaging.package_files import package_gather
from central.releases.packaging.quantise import Rounder, WordOrder, graph_quantise, nearest
from central.releases.packaging.scoring import scoring_add
from central.releases.packaging.slots import slots_add
from central.releases.recipe import BUILDER, OPTIMUM
from federation.inference.package import FORMAT, PackageCard, Slot, card_write

CONTROLS = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
RUNS = ["\n", "\n\n", "  ", "   "]
BYTES = [f"<0x{value:02X}>" for value in range(256)]
WORDS = [f"{SPACE}с", "ал", "он", "ҳо", f"{SPACE}сал", "ом", f"{SPACE}салом", "ҷа", "ҷаҳо", "th", "he", f"{SPACE}the"]
LETTERS = sorted({*"абвгғдеёжзиӣйкқлмнопрстуӯфхҳчҷшъэюяАСДabcdefghijklmnopqrstuvwxyz.,?!—-0123456789<>_", SPACE})
CONTEXT_TOKENS = 128


def tiny_vocabulary() -> tuple[list[str], list[float], list[int]]:
    """Pieces, scores and GGUF token types, in the order in which Gemma's own file has them."""
    pieces = [*CONTROLS, *RUNS, *BYTES, *WORDS, *LETTERS]
    kinds = [3] * len(CONTROLS) + [4] * len(RUNS) + [6] * len(BYTES) + [1] * (len(WORDS) + len(LETTERS))
    scores = [-1000.0] * (len(CONTROLS) + len(RUNS)) + [-1000.0] * len(BYTES)
    scores += [-float(rank) for rank in range(len(WORDS) + len(LETTERS))]
    return pieces, scores, kinds


def tiny_tokenizer() -> Tokenizer:
    pieces, scores, kinds = tiny_vocabulary()
    return tokenizer_build(pieces=pieces, scores=scores, kinds=kinds, bos="<bos>", unknown="<unk>")


def tiny_config(
    *, vocab_size: int, width: int, sliding_window: int, layer_types: list[str], context_tokens: int, **more: Any
) -> Gemma3TextConfig:
    """A Gemma 3 of `width` with two heads on one pair of keys and values; its control tokens stand as in `CONTROLS`."""
    return Gemma3TextConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=len(layer_types),
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=width // 2,
        query_pre_attn_scalar=width // 2,
        sliding_window=sliding_window,
        layer_types=layer_types,
        max_position_embeddings=context_tokens,
        bos_token_id=CONTROLS.index("<bos>"),
        eos_token_id=CONTROLS.index("<eos>"),
        pad_token_id=CONTROLS.index("<pad>"),
        **more,
    )


def tiny_model(*, seed: int = 5, context_tokens: int = CONTEXT_TOKENS, **more: Any) -> Gemma3ForCausalLM:
    torch.manual_seed(seed)
    config = tiny_config(
        vocab_size=len(tiny_vocabulary()[0]),
        width=64,
        sliding_window=64,
        context_tokens=context_tokens,
        **{"layer_types": ["sliding_attention", "sliding_attention"], **more},
    )
    model = Gemma3ForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Weights of the usual 0.02 would leave every answer to the embedding alone.
            weight.normal_(0, 0.1 if "norm" in name else 0.15)
    return model


def tiny_checkpoint(folder: Path, *, seed: int = 5, context_tokens: int = CONTEXT_TOKENS, **more: Any) -> Path:
    """Leave a transformers folder at `folder`, with `more` settings of its own, and return it."""
    tiny_model(seed=seed, context_tokens=context_tokens, **more).save_pretrained(folder)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "eos_token": "<eos>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    generation = {"bos_token_id": 2, "eos_token_id": [1, 5], "pad_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(generation), "utf-8")
    return folder


def tiny_prepared(folder: Path, **more: Any) -> Checkpoint:
    source = tiny_checkpoint(folder / "source", **more)
    return checkpoint_prepare(source=source, into=folder / "checkpoint", progress=lambda step, part: None)


def tiny_package(folder: Path, *, floats: FloatRounder | None = None, exporter: str = BUILDER) -> Path:
    """Leave `checkpoint`, `exported` and `package` in `folder` and return the package.

    It has 8 bits, or the small floats of `floats`.
    """
    return package_make(tiny_prepared(folder), folder, context_tokens=CONTEXT_TOKENS, floats=floats, exporter=exporter)


def package_make(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    context_tokens: int,
    rounder: Rounder | None = None,
    words: WordOrder | None = None,
    floats: FloatRounder | None = None,
    exporter: str = BUILDER,
) -> Path:
    """Leave `exported` and `package` (8 bits, by `rounder` or `floats`) in `folder`, as real ones are made.

    With `words` the graph has the new ids and the tokenizer still the old ones.
    """
    exported, package = folder / "exported", folder / "package"
    with warnings.catch_warnings():
        if exporter == OPTIMUM:
            # torch's exporter and optimum's warn of their own old calls.
            warnings.simplefilter("ignore")
        graph_export(
            checkpoint=checkpoint,
            into=exported,
            log=folder / "exporter.log",
            context_tokens=context_tokens,
            exporter=exporter,
        )
    places = {
        "source": exported,
        "floats": checkpoint.folder,
        "into": folder / "quantised",
        "progress": lambda part: None,
    }
    if floats is None:
        graph = graph_quantise(rounder=rounder or nearest(bits=8, block=32), words=words, **places)
    else:
        graph = graph_narrow(rounder=floats, **places)
    slots = slots_add(graph)
    scoring_add(graph)
    cache_declare(graph)
    weights = folder / "quantised" / WEIGHTS
    package_gather(checkpoint=checkpoint, graph=graph, weights=weights, into=package)
    config = json.loads((checkpoint.folder / "config.json").read_text("utf-8"))
    card = PackageCard(
        format=FORMAT,
        name="tiny",
        architecture="gemma3_text",
        licence="none",
        hidden_size=config["hidden_size"],
        layers=config["num_hidden_layers"],
        vocab_size=config["vocab_size"],
        context_tokens=context_tokens,
        quantisation="int8-block32" if floats is None else "floats",
        max_rank=16,
        slots=tuple(Slot(slot.name, slot.d_in, slot.d_out) for slot in slots),
        perplexity={},
    )
    card_write(card, folder=package)
    return package


def tiny_gguf(
    path: Path, *, architecture: str = "gemma3", matrices: Mapping[str, GGMLQuantizationType] | None = None
) -> Path:
    """Write the same model as llama.cpp's converter would: its names, float32, 1 added to every norm.

    `matrices` names the type of a part's matrices, such as `attn_q`; others are float32.
    """
    parts = {
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm",
        "post_attention_layernorm": "post_attention_norm",
        "pre_feedforward_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "post_feedforward_layernorm": "post_ffw_norm",
        "embed_tokens": "token_embd",
        "norm": "output_norm",
    }
    writer = GGUFWriter(path, architecture)
    pieces, scores, kinds = tiny_vocabulary()
    writer.add_name("tiny")
    writer.add_block_count(2)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(128)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_key_length(32)
    writer.add_sliding_window(64)
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    for name, weight in tiny_model().named_parameters():
        words = name.removeprefix("model.").removesuffix(".weight")
        block, _, part = (
            words.removeprefix("layers.").partition(".") if words.startswith("layers.") else ("", "", words)
        )
        values = weight.detach().numpy() + (1.0 if "norm" in name else 0.0)
        kind = (matrices or {}).get(parts[part], GGMLQuantizationType.F32)
        tensor = f"blk.{block}.{parts[part]}.weight" if block else f"{parts[part]}.weight"
        writer.add_tensor(tensor, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

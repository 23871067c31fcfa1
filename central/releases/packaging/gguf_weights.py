"""Reads the weights and the settings of a Gemma 3 text model out of a GGUF file.

It knows the names that llama.cpp's converter gives, and refuses a file with a tensor missing or left over. It knows
nothing about tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, ReaderTensor, dequantize
from numpy.typing import NDArray

from central.releases.packaging.block_weights import BlockWeights
from central.releases.packaging.errors import CheckpointIncomplete, UnsupportedArchitecture
from central.releases.packaging.gguf_blocks import gguf_blocks
from central.releases.packaging.text_names import EMBEDDING, HEAD, NORM, names_check

_TOP = {"token_embd.weight": EMBEDDING, "output_norm.weight": NORM, "output.weight": HEAD}
_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_BLOCK_WORDS = 4
_LAYERS_OF_27B = 62


def gguf_field(reader: GGUFReader, name: str, default: Any = None) -> Any:  # noqa: ANN401 - the file decides the type
    """Return the value of the metadata field `name`, or `default` when the file has none."""
    field = reader.get_field(name)
    return default if field is None else field.contents()


def gguf_config(reader: GGUFReader, *, source: Path) -> dict[str, Any]:
    """Return the transformers configuration (`config.json`) of the Gemma 3 text model in `reader`.

    Raises:
        CheckpointIncomplete: a setting that has no default is not in the file.
    """
    layers = _required(reader, "gemma3.block_count", source)
    hidden = _required(reader, "gemma3.embedding_length", source)
    heads = _required(reader, "gemma3.attention.head_count", source)
    head_size = gguf_field(reader, "gemma3.attention.key_length", 256)
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "vocab_size": len(_required(reader, "tokenizer.ggml.tokens", source)),
        "hidden_size": hidden,
        "intermediate_size": _required(reader, "gemma3.feed_forward_length", source),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": gguf_field(reader, "gemma3.attention.head_count_kv", heads),
        "head_dim": head_size,
        # Only the 27B model scales its queries by the width of a head as hidden size over heads.
        "query_pre_attn_scalar": hidden // heads if layers == _LAYERS_OF_27B else head_size,
        "rms_norm_eps": 1e-6,
        "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": gguf_field(reader, "gemma3.context_length", 32768),
        "rope_theta": gguf_field(reader, "gemma3.rope.freq_base", 1_000_000.0),
        "rope_local_base_freq": 10_000.0,
        "rope_scaling": _rope_scaling(reader),
        "sliding_window": gguf_field(reader, "gemma3.attention.sliding_window", 512),
        "layer_types": ["full_attention" if (i + 1) % 6 == 0 else "sliding_attention" for i in range(layers)],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": not any(tensor.name == "output.weight" for tensor in reader.tensors),
        "bos_token_id": gguf_field(reader, "tokenizer.ggml.bos_token_id", 2),
        "eos_token_id": gguf_field(reader, "tokenizer.ggml.eos_token_id", 1),
        "pad_token_id": gguf_field(reader, "tokenizer.ggml.padding_token_id", 0),
        # transformers takes a configuration without a version for a Mistral one and warns of its tokenizer.
        "transformers_version": "4.50.0",
        "use_cache": True,
    }


def gguf_names_check(reader: GGUFReader, config: dict[str, Any], *, source: Path) -> None:
    """Accept the tensors of `reader` if they are those of the model with the settings `config`.

    Raises:
        CheckpointIncomplete: a tensor is missing; names it.
        UnsupportedArchitecture: there is one that the model does not have; names it.
    """
    names = [_name(tensor.name) for tensor in reader.tensors]
    layers, is_tied = config["num_hidden_layers"], config["tie_word_embeddings"]
    names_check(names, layers=layers, is_tied=is_tied, source=str(source))


def gguf_weights(
    reader: GGUFReader, *, source: Path, progress: Callable[[float], None]
) -> Iterator[tuple[str, BlockWeights | NDArray[np.float32]]]:
    """Yield every weight under its transformers name, matrices (out, in): integers where blocks hold them exactly.

    Raises:
        UnsupportedArchitecture: a tensor is of a type that the gguf library cannot read; names the type.
    """
    for done, tensor in enumerate(reader.tensors, start=1):
        name, kind = _name(tensor.name), tensor.tensor_type
        try:
            weights = gguf_blocks(tensor.data, kind)
            yield name, _floats(tensor) if weights is None else weights
        except NotImplementedError as error:
            raise UnsupportedArchitecture(
                source=str(source), architecture=f"with {kind.name} weights", supported="Q4_0 to Q8_0"
            ) from error
        progress(done / len(reader.tensors))


def _floats(tensor: ReaderTensor) -> NDArray[np.float32]:
    values: NDArray[np.float32] = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
    # The converter stores 1 + weight for every norm; transformers adds the 1 itself.
    return values - np.float32(1.0) if tensor.name.endswith("norm.weight") else values


def _name(name: str) -> str:
    """Return what transformers calls the tensor `name`; one that no Gemma 3 has keeps its name."""
    if name in _TOP:
        return _TOP[name]
    words = name.split(".")
    part = _BLOCK.get(words[-2]) if len(words) == _BLOCK_WORDS else None
    return name if part is None else f"model.layers.{words[1]}.{part}.{words[-1]}"


def _rope_scaling(reader: GGUFReader) -> dict[str, Any] | None:
    kind = gguf_field(reader, "gemma3.rope.scaling.type")
    if kind is None:
        return None
    return {"rope_type": kind, "factor": gguf_field(reader, "gemma3.rope.scaling.factor")}


def _required(reader: GGUFReader, name: str, source: Path) -> Any:  # noqa: ANN401 - the file decides the type
    value = gguf_field(reader, name)
    if value is None:
        raise CheckpointIncomplete(source=str(source), missing=name)
    return value

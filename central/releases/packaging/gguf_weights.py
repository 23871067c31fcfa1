"""Reads the weights and the settings of a Gemma 3 text model out of a GGUF file.

It knows the names that llama.cpp's converter gives, and refuses a file with a tensor missing or left over. It knows
nothing about tokenizers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, dequantize

from central.releases.packaging.errors import CheckpointIncomplete

_TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
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
        "torch_dtype": "float32",
        # transformers takes a configuration without a version for a Mistral one and warns of its tokenizer.
        "transformers_version": "4.50.0",
        "use_cache": True,
    }


def gguf_tensors(reader: GGUFReader, *, layers: int, source: Path) -> dict[str, np.ndarray]:
    """Return every weight as float32 under its transformers name; matrices are [out, in].

    Raises:
        CheckpointIncomplete: a tensor of one of the `layers` layers is missing; names it.
    """
    tensors: dict[str, np.ndarray] = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        if tensor.name.endswith("norm.weight"):
            # The converter stores 1 + weight for every norm; transformers adds the 1 itself.
            values = values - np.float32(1.0)
        tensors[_name(tensor.name)] = np.ascontiguousarray(values)
    for name in _expected(layers):
        if name not in tensors:
            raise CheckpointIncomplete(source=str(source), missing=name)
    return tensors


def _name(name: str) -> str:
    if name in _TOP:
        return _TOP[name]
    _, index, part, suffix = name.split(".")
    return f"model.layers.{index}.{_BLOCK[part]}.{suffix}"


def _expected(layers: int) -> list[str]:
    top = [_TOP["token_embd.weight"], _TOP["output_norm.weight"]]
    return top + [f"model.layers.{i}.{part}.weight" for i in range(layers) for part in _BLOCK.values()]


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

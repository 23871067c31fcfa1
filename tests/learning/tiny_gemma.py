"""A Gemma 3 of some thousand weights with random values: the real architecture, small enough to train in a test."""

import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from federation.learning.chat import Conversation

LAYERS = 2
# Threads cost far more than they save on matrices this small.
torch.set_num_threads(1)


def tiny_gemma(*, seed: int = 5, vocab_size: int = 96, context_tokens: int = 64) -> Gemma3ForCausalLM:
    torch.manual_seed(seed)
    config = Gemma3TextConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"],
        max_position_embeddings=context_tokens,
        bos_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
        use_cache=False,
        attn_implementation="sdpa",
    )
    model = Gemma3ForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.normal_(0, 0.1)
    return model


def conversations(*, count: int, seed: int) -> list[Conversation]:
    draw = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(count):
        length = int(torch.randint(6, 14, (1,), generator=draw))
        ids = torch.randint(4, 96, (length,), generator=draw).tolist()
        drawn.append(Conversation(tuple(ids), length // 2))
    return drawn

"""A Gemma 3 of some thousand weights with random values: the real architecture, small enough to train in a test."""

import torch
from transformers import Gemma3ForCausalLM

from federation.learning.chat import Conversation
from tests.tiny_checkpoint import tiny_config

# Threads cost far more than they save on matrices this small.
torch.set_num_threads(1)


def tiny_gemma(*, seed: int = 5, vocab_size: int = 96, context_tokens: int = 64) -> Gemma3ForCausalLM:
    torch.manual_seed(seed)
    config = tiny_config(
        vocab_size=vocab_size,
        width=32,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"],
        context_tokens=context_tokens,
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

"""A transformers folder of the tiny model as quantisers publish one: packed integers, text or multimodal."""

import json

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from tests.central.packaging.packed_formats import awq_parts, compressed_parts, gptq_parts, plain_values
from tests.tiny_checkpoint import tiny_checkpoint

GROUP = 32
OLD_NAMES, NEW_NAMES = "language_model.model.", "model.language_model."


def rounded(weight, *, bits, seed, is_symmetric):
    """Return codes (in, out), zero points and scales (groups, out) near the matrix `weight` (out, in)."""
    blocks = weight.numpy().reshape(len(weight), -1, GROUP)
    middle = np.full(blocks.shape[:2], 1 << (bits - 1))
    zeros = middle if is_symmetric else np.random.default_rng(seed).integers(1, 1 << bits, blocks.shape[:2])
    scales = (np.abs(blocks).max(axis=-1) / (1 << (bits - 1))).astype(np.float16)
    codes = np.rint(blocks / scales[..., None].astype(np.float32)) + zeros[..., None]
    codes = codes.clip(0, (1 << bits) - 1).astype(np.int64).reshape(weight.shape)
    return codes.T, zeros.T, scales.T


def quantised_folder(folder, *, settings, shuffled=()):
    """Leave the folder with its projections as `settings` say and return it with their plain values by name.

    The projections whose names hold a word of `shuffled` have their groups out of order, as act-order leaves them.
    """
    tiny_checkpoint(folder)
    tensors = {name: tensor.to(torch.float16) for name, tensor in load_file(folder / "model.safetensors").items()}
    method, bits = settings["quant_method"], settings.get("bits", 4)
    expected = {}
    for seed, name in enumerate(sorted(name for name in tensors if "proj" in name)):
        weight = tensors.pop(name).float()
        codes, zeros, scales = rounded(weight, bits=bits, seed=seed, is_symmetric=method == "compressed-tensors")
        group_of = np.arange(len(codes)) // GROUP
        if any(word in name for word in shuffled):
            group_of = np.random.default_rng(seed).permutation(group_of)
        expected[name] = plain_values(codes, zeros, scales, group_of)
        if method == "awq":
            parts = awq_parts(codes, zeros, scales)
        elif method == "gptq":
            parts = gptq_parts(codes, zeros, scales, bits=bits, group_of=group_of)
        else:
            parts = compressed_parts(codes, scales, bits=bits)
        stem = name.removesuffix(".weight")
        tensors |= {f"{stem}.{part}": torch.from_numpy(np.ascontiguousarray(v)) for part, v in parts.items()}
    save_file(tensors, weights_of(folder), metadata={"format": "pt"})
    settings_change(folder, quantization_config=settings)
    return folder, expected


def make_multimodal(folder, *, prefix):
    """Put a vision tower beside the text half of `folder`, whose tensors get the names of that time."""
    config = json.loads((folder / "config.json").read_text())
    text = {key: config[key] for key in config if key not in {"quantization_config", "architectures"}}
    outer = {key: config[key] for key in ("quantization_config",) if key in config}
    outer |= {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "text_config": text}
    outer |= {"torch_dtype": config.get("dtype"), "vision_config": {"hidden_size": 8}, "eos_token_id": [1, 5]}
    (folder / "config.json").write_text(json.dumps(outer))
    tensors = {prefix + name.removeprefix("model."): tensor for name, tensor in load_file(weights_of(folder)).items()}
    vision = "vision_tower." if prefix == OLD_NAMES else "model.vision_tower."
    projector = vision.replace("vision_tower", "multi_modal_projector")
    tensors |= {f"{vision}encoder.weight": torch.ones(8, 8), f"{projector}mm_soft_emb_norm.weight": torch.ones(8)}
    save_file(tensors, weights_of(folder), metadata={"format": "pt"})
    return folder


def settings_change(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def weights_of(folder):
    return folder / "model.safetensors"


def tensors_change(folder, change):
    """Write the weights of `folder` as `change` makes them of what they are."""
    save_file(change(load_file(weights_of(folder))), weights_of(folder), metadata={"format": "pt"})

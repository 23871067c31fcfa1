"""What the centre's processes beside a round have in common: how they are called, and what they open.

`central.training.learning_process` starts them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from federation.adapter_file import adapter_read
from federation.basis import AdapterFactors
from federation.learning.chat import ConversationTokenizer
from federation.learning.onnx_base import onnx_base_load
from federation.learning.precision import dtype_fastest
from federation.wire.canonical import parse
from federation.wire.rounds import RoundPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSeason:
    """A plan of the season, its base, and the adapter that it has come to; None for the base alone."""

    plan: RoundPlan
    start: AdapterFactors | None
    tokenizer: ConversationTokenizer
    model: Any
    """The bare base, a Gemma3ForCausalLM."""


def process_parser(module: str, description: str, files: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the command line of `module`: what all such processes take, and its own `files` with what each is."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    common = {"package": "folder of the season's base", "plan": "RoundPlan of the season as JSON"}
    for name, what in (common | dict(files)).items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=what)
    parser.add_argument("--start", type=Path, help="adapter file of the season's newest release, if there is one")
    parser.add_argument("--threads", type=int, default=2)
    return parser


def season_load(arguments: argparse.Namespace) -> OpenedSeason:
    """Return what the command line names, and compute with as many threads as it says.

    Raises:
        MalformedDocument, AdapterDamaged, TokenizerUnusable: a file is not what it should be.
    """
    torch.set_num_threads(arguments.threads)
    plan = parse(RoundPlan, arguments.plan.read_bytes())
    return OpenedSeason(
        plan=plan,
        start=None if arguments.start is None else adapter_read(arguments.start, base_digest=plan.base).factors,
        tokenizer=ConversationTokenizer(arguments.package / "tokenizer.json.gz"),
        model=onnx_base_load(arguments.package, dtype=dtype_fastest()),
    )

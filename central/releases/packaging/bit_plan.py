"""Chooses bits and block of each matrix: what each choice costs in nats a token, and in bytes, is known beforehand.

Pure. A ladder leads from the choice that loses least to the smallest one, by the step that loses least for each byte
that it saves; a budget of bytes or of perplexity picks a rung.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One way to hold a matrix; `loss` is the predicted rise of the mean loss in nats a token."""

    bits: int
    block: int
    size_bytes: int
    loss: float
    is_kept: bool = False
    """Whether these are the integers that the checkpoint came with."""


Plan = Mapping[str, Choice]


def plan_ladder(options: Mapping[str, Sequence[Choice]]) -> list[Plan]:
    """Return plans from the least loss to the least bytes; each is smaller than the one before."""
    plan = {
        part: min(choices, key=lambda choice: (choice.loss, choice.size_bytes)) for part, choices in options.items()
    }
    ladder: list[Plan] = [dict(plan)]
    while steps := [
        (_price(plan[part], choice), part, choice)
        for part, choices in options.items()
        for choice in choices
        if choice.size_bytes < plan[part].size_bytes
    ]:
        _, part, choice = min(steps, key=lambda step: step[0])
        plan[part] = choice
        ladder.append(dict(plan))
    return ladder


def plan_bytes(plan: Plan) -> int:
    """Return what the matrices of `plan` take together."""
    return sum(choice.size_bytes for choice in plan.values())


def plan_under(ladder: Sequence[Plan], *, max_bytes: int) -> Plan | None:
    """Return the first plan of the ladder of at most `max_bytes`, or None."""
    return next((plan for plan in ladder if plan_bytes(plan) <= max_bytes), None)


def _price(held: Choice, choice: Choice) -> float:
    return (choice.loss - held.loss) / (held.size_bytes - choice.size_bytes)

"""Turns accepted ratings into rows of data sets, with the field names that TRL's trainers read. Pure.

Rows are conversational, so that a trainer puts them into the model's own chat format. They say nothing of the teacher,
the school or the time. 4 and 5 stars are good, 1 and 2 are bad, 3 says nothing; a correction is what should have been
answered, whatever the stars.

Source: TRL's documentation, «Dataset formats and types»: prompt-completion, preference, unpaired preference.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from central.feedback.shares import LEAST_GOOD, MOST_BAD


class DataSet(enum.Enum):
    """For which way of training."""

    SFT = "sft"
    DPO = "dpo"
    KTO = "kto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What an accepted rating says; `correction` is empty where there is none."""

    question: str
    answer: str
    stars: int
    correction: str


Row = dict[str, Any]


def dataset_row(*, judged: Judged, dataset: DataSet) -> Row | None:
    """Return the row that the rating is worth in `dataset`, or None where it says nothing there."""
    return _ROWS[dataset](judged)


def _sft(judged: Judged) -> Row | None:
    """A prompt with the correction, or with an answer that was good as it is."""
    best = judged.correction or (judged.answer if judged.stars >= LEAST_GOOD else "")
    return {**_prompt(judged), "completion": _says("assistant", best)} if best else None


def _dpo(judged: Judged) -> Row | None:
    """A prompt with the correction preferred to the answer."""
    if not judged.correction or judged.correction == judged.answer:
        return None
    return {
        **_prompt(judged),
        "chosen": _says("assistant", judged.correction),
        "rejected": _says("assistant", judged.answer),
    }


def _kto(judged: Judged) -> Row | None:
    """A prompt with the answer, and whether it was good."""
    if MOST_BAD < judged.stars < LEAST_GOOD:
        return None
    return {
        **_prompt(judged),
        "completion": _says("assistant", judged.answer),
        "label": judged.stars >= LEAST_GOOD,
    }


def _prompt(judged: Judged) -> Row:
    return {"prompt": _says("user", judged.question)}


def _says(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


_ROWS: Mapping[DataSet, Callable[[Judged], Row | None]] = {
    DataSet.SFT: _sft,
    DataSet.DPO: _dpo,
    DataSet.KTO: _kto,
}

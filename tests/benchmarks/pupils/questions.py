"""What pupils ask: school questions of all lengths, from one line to a task of half a page, each pitched to a lesson.

The short ones are those of the label set; the longer ones carry what a pupil copies out of a book. Every question ends
in a mark of its own, by which an answer that came to the wrong pupil would be found.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.benchmarks.labels.label_set import Label, labels_read

HINTED_SHARE = 1 / 3
# One question in a line; one with what was tried; a task with its text. Pupils mostly type the first.
_KINDS = ("short", "short", "short", "tried", "task")
_TRIED = (
    "{question} Ман инро дар китоб хондам, вале нафаҳмидам: дар дарс муаллим дигар хел гуфта буд ва дар дафтарам "
    "танҳо нисфи он навишта шудааст. Лутфан ба ман бо мисол фаҳмонед."
)
_TASK = (
    "Муаллим ба мо чунин супориш дод: матнро хонда, ба савол ҷавоб нависед. Матн: {text} Аввал бигӯед, ки дар матн "
    "сухан дар бораи чӣ меравад, баъд ба ин савол ҷавоб диҳед: {question} Ман дар дафтар ҷавоби кӯтоҳ навиштам, вале "
    "намедонам, ки дуруст аст ё не. Агар нодуруст бошад, бигӯед, ки хатои ман дар куҷост."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question with the lesson that it is pitched to; `nonce` is in its text and in no other's."""

    question: str
    nonce: str
    subject: str
    grade: int
    is_hinted: bool


def questions_draw(*, run: int, pupil: int, count: int, rng: random.Random) -> list[Asked]:
    """Return what a pupil asks one after another; a lesson has one subject, so the questions of a pupil have one."""
    labels = labels_read()
    subject = rng.choice(sorted({label.subject for label in labels}))
    own = [label for label in labels if label.subject == subject]
    is_hinted = rng.random() < HINTED_SHARE
    grade = rng.choice([label.grade for label in own])
    asked = []
    for number in range(count):
        text = _text(rng.choice(_KINDS), rng.choice(own), own, rng)
        # Short, because the model has to read it too.
        nonce = f"№{run:02}{pupil:02}{number}"
        question = f"{text} {nonce}"
        asked.append(Asked(question=question, nonce=nonce, subject=subject, grade=grade, is_hinted=is_hinted))
    return asked


def _text(kind: str, label: Label, own: list[Label], rng: random.Random) -> str:
    if kind == "short":
        return label.question
    if kind == "tried":
        return _TRIED.format(question=label.question)
    told = [each.correction for each in own if each.correction]
    return _TASK.format(question=label.question, text=" ".join(rng.sample(told, k=min(6, len(told)))))

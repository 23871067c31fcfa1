"""The school of `bench-page`: makes its people and what they have asked, and reads afterwards what was kept.

Runs in a process of its own with a node's settings, because the benchmark itself has none: `python -m
tests.benchmarks.pupils.rows make` and `… kept` answer with one line of JSON, for the node at SORO_NODE_ROOT.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from datetime import datetime, timedelta
from typing import Any

import django

PUPILS = 16
TURNS = 100
QUEUE = 300
ANSWER = (
    "**Фотосинтез** раванде аст, ки дар он растанӣ аз гази карбонат ва об бо ёрии рӯшноӣ моддаҳои органикӣ месозад.\n\n"
    "1. Барг рӯшноиро фурӯ мебарад.\n2. Об аз реша меояд.\n3. Оксиген ба ҳаво мебарояд.\n\n"
    "$$6CO_2 + 6H_2O = C_6H_{12}O_6 + 6O_2$$"
)


def main() -> int:
    """Do what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=["make", "kept"])
    job = parser.parse_args().job
    django.setup()
    found = school_make() if job == "make" else turns_kept()
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def school_make() -> dict[str, Any]:
    """Make a class of 16 pupils with its teacher, a long conversation of the first pupil, and a queue to rate."""
    from django.conf import settings  # noqa: PLC0415 - needs Django's settings first
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.utils import timezone  # noqa: PLC0415

    from node.accounts import Role, account_create  # noqa: PLC0415
    from node.installed.state import slots_read  # noqa: PLC0415
    from node.people.services import class_change, class_create, pupil_create  # noqa: PLC0415

    teacher = account_create(username="omuzgor", role=Role.TEACHER)
    school_class = class_create(name="7А")
    teacher_id = User.objects.get(username=teacher.username).pk
    class_change(school_class=school_class, asks_pin=True, teacher_ids=[teacher_id])
    pupils = [
        pupil_create(school_class=school_class, last_name="Каримов", first_name=f"Хонанда{number}")
        for number in range(PUPILS)
    ]
    release = str(slots_read(settings.NODE_ROOT).current)
    people = [fresh.pupil.person_id for fresh in pupils]
    now = timezone.now()
    conversation = _talk(people[0], TURNS, release=release, now=now)
    for number in range(QUEUE):
        _talk(people[1 + number % (PUPILS - 1)], 1, release=release, now=now - timedelta(hours=number))
    return {
        "code": school_class.code,
        "pupils": [{"id": fresh.pupil.pk, "person": fresh.pupil.person_id, "pin": fresh.pin} for fresh in pupils],
        "teacher": {"username": teacher.username, "password": teacher.password},
        "conversation": conversation,
    }


def turns_kept() -> list[dict[str, Any]]:
    """Return every kept turn: who asked in which conversation what, and what was answered."""
    from node.chat.models import Answer  # noqa: PLC0415 - needs Django's settings first

    answers = Answer.objects.select_related("turn__conversation")
    return [
        {
            "person": answer.turn.conversation.person_id,
            "conversation": str(answer.turn.conversation_id),
            "question": answer.turn.question,
            "text": answer.text,
            "status": answer.status,
        }
        for answer in answers
    ]


def _talk(person_id: int, turns: int, *, release: str, now: datetime) -> str:
    """Keep a conversation whose last turn was asked at `now`, and return its id."""
    from node.chat.models import Answer, Conversation, Turn  # noqa: PLC0415 - needs Django's settings first
    from tests.benchmarks.labels.label_set import labels_read  # noqa: PLC0415 - with the others

    rng = random.Random(f"{person_id} {now}")
    labels = labels_read()
    began = now - timedelta(minutes=turns)
    conversation = Conversation.objects.create(person_id=person_id, started_at=began)
    made: list[Turn] = []
    for number in range(turns):
        label = rng.choice(labels)
        asked_at = began + timedelta(minutes=number + 1)
        parent = made[-1] if made else None
        made.append(Turn(conversation=conversation, parent=parent, question=label.question, asked_at=asked_at))
    Turn.objects.bulk_create(made)
    Answer.objects.bulk_create(
        Answer(
            turn=turn, status=Answer.Status.FINISHED, text=f"{turn.question}\n\n{ANSWER}",
            release=release, release_version=1, finished_at=turn.asked_at,
        )
        for turn in made
    )  # fmt: skip
    return str(conversation.pk)


if __name__ == "__main__":
    sys.exit(main())

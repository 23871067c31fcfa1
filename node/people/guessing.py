"""The only writer of guesses: each is counted before it is judged, so that many at once gain nothing.

A right guess takes its count back, and forgives the person's door all earlier ones; not the device's, or whoever has
an account of their own could clear it between two guesses at another's.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from federation.errors import WireError
from node.people.models import Guess
from node.people.throttle import FORGIVEN_AFTER_SECONDS, Door, wait_seconds

CLOCK_FELL_BACK_SECONDS = 3600.0


class GuessesTooMany(WireError):
    """There were too many wrong guesses; the next one is heard in `wait_seconds`."""

    code = "guesses_too_many"


@dataclass(frozen=True, slots=True)
class Target:
    """A door, and whose."""

    door: Door
    name: str

    @property
    def sha256(self) -> str:
        """The door's name in the table."""
        return hashlib.sha256(f"{self.door.name}:{self.name}".encode()).hexdigest()


@transaction.atomic
def guess_count(*, targets: tuple[Target, ...], now: datetime) -> None:
    """Count a guess at each of `targets` as wrong, until `guess_forgive` says that it was right.

    What a day has forgiven is forgotten, so that the table stays as small as a day's mistakes.

    Raises:
        GuessesTooMany: one of them must not be guessed at yet; nothing was counted.
    """
    Guess.objects.filter(failed_at__lte=now - timedelta(seconds=FORGIVEN_AFTER_SECONDS)).delete()
    rows = [(target, _row(target, now)) for target in targets]
    waits = [
        wait_seconds(door=target.door, failures=row.failures, since_seconds=_since(row, now)) for target, row in rows
    ]
    if max(waits) > 0:
        raise GuessesTooMany(wait_seconds=math.ceil(max(waits)))
    for _target, row in rows:
        row.failures = row.failures + 1 if _since(row, now) < math.inf else 1
        row.failed_at = now
        row.save()


def guess_forgive(*, targets: tuple[Target, ...]) -> None:
    """Take the last guess at each of `targets` back: it was right."""
    for target in targets:
        row = Guess.objects.filter(door_sha256=target.sha256)
        if target.door is Door.DEVICE:
            row.filter(failures__gt=0).update(failures=F("failures") - 1)
        else:
            row.delete()


def _row(target: Target, now: datetime) -> Guess:
    Guess.objects.get_or_create(door_sha256=target.sha256, defaults={"failed_at": now})
    return Guess.objects.select_for_update().get(door_sha256=target.sha256)


def _since(row: Guess, now: datetime) -> float:
    since = (now - row.failed_at).total_seconds()
    # A PC whose clock fell back to 1970 would else keep everybody out until it is right again.
    return math.inf if since < -CLOCK_FELL_BACK_SECONDS else max(since, 0.0)

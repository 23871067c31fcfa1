"""Which process combines a round, and how soon another may when that one is gone: real processes, killed."""

import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from central.training.models import Round, RoundStatus
from central.training.rounds import round_aggregate, round_claim
from tests.central.seasons import season_small

HOLD = """
import sys
from pathlib import Path
from central.training.claim import claim_hold
with claim_hold(Path(sys.argv[1]), round_id=sys.argv[2]) as claim:
    claim.sign()
    print("held", flush=True)
    sys.stdin.read()
"""


class Gone(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def round_(keys, db):
    season_small()
    Round.objects.update(status=RoundStatus.AGGREGATING)
    return Round.objects.get()


@contextmanager
def another_process(round_, disk):
    """Have another process hold the round's claim, and give it."""
    argv = [sys.executable, "-c", HOLD, str(disk.claims), round_.round_id]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        assert round_claim(round_=round_, now=timezone.now())
        try:
            yield process
        finally:
            process.kill()


def claimed(round_, disk, *, after=timedelta(0)):
    """Tell whether this process gets to combine the round; then it ends in the middle of it."""

    def make(_round):
        raise Gone

    try:
        round_aggregate(round_=round_, disk=disk, clock=lambda: timezone.now() + after, make=make)
    except Gone:
        return True
    return False


def test_a_round_is_taken_over_at_once_from_a_process_of_this_machine_that_was_killed(round_, disk):
    with another_process(round_, disk) as process:
        assert not claimed(round_, disk)
        process.kill()
        process.wait()
        assert claimed(round_, disk)
    # This process left it in the middle too.
    assert claimed(round_, disk)


def test_a_process_that_lives_and_is_silent_is_taken_over_after_half_an_hour(round_, disk):
    with another_process(round_, disk):
        assert not claimed(round_, disk, after=timedelta(minutes=29))
        assert claimed(round_, disk, after=timedelta(minutes=31))


def test_a_process_of_another_machine_is_waited_for_half_an_hour(round_, disk):
    with another_process(round_, disk) as process:
        process.kill()
        process.wait()
    (disk.claims / round_.round_id).write_text("another-pc")
    assert not claimed(round_, disk, after=timedelta(minutes=29))
    assert claimed(round_, disk, after=timedelta(minutes=31))


def test_a_combining_whose_database_went_away_goes_on_as_soon_as_it_is_back(round_, disk):
    def lose(_round):
        raise OperationalError("server closed the connection unexpectedly")

    with pytest.raises(OperationalError):
        round_aggregate(round_=round_, disk=disk, clock=timezone.now, make=lose)
    assert claimed(round_, disk)


def test_a_combining_that_failed_is_not_tried_again_at_once(round_, disk):
    def fail(_round):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        round_aggregate(round_=round_, disk=disk, clock=timezone.now, make=fail)
    assert not claimed(round_, disk, after=timedelta(minutes=29))
    assert claimed(round_, disk, after=timedelta(minutes=31))

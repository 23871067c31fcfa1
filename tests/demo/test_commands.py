"""The demo waits for what moves, and gives up on what does not."""

import subprocess
import sys
import time

import pytest

from federation.demo import commands
from federation.demo.commands import CommandLine, LongRunning, wait_until
from federation.demo.errors import StepFailed


class Script(CommandLine):
    """Runs a Python program where a command line would run `manage.py`."""

    def _argv(self, command, *_arguments):
        return [sys.executable, "-c", command]


@pytest.fixture
def script(tmp_path):
    return Script(project="central", root=tmp_path, environment={})


@pytest.fixture
def running(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    process = LongRunning(name="central run", child=child, log=tmp_path / "run.log")
    yield process
    process.stop()


def test_a_command_that_says_nothing_is_given_up_and_its_last_line_told(script):
    program = "import sys, time; print('collecting: 1 of 2', file=sys.stderr, flush=True); time.sleep(60)"
    began = time.monotonic()
    with pytest.raises(StepFailed) as failed:
        script.run("round", program, silence_seconds=1.5)
    assert "nothing moved for 2 s after “collecting: 1 of 2”" in failed.value.fields["reason"]
    assert time.monotonic() - began < 30


def test_a_command_that_goes_on_talking_may_take_longer_than_the_silence(script):
    program = (
        "import sys, time\nfor n in range(8): print(n, file=sys.stderr, flush=True), time.sleep(0.5)\nprint('end')"
    )
    assert script.run("round", program, silence_seconds=2.0) == "end\n"


def test_waiting_goes_on_while_something_moves_and_ends_when_nothing_does(running, monkeypatch):
    monkeypatch.setattr(commands, "SILENCE_SECONDS", 0.3)
    counter = iter(range(20))
    moving = {"signs": lambda: next(counter, None), "process": running, "interval_seconds": 0.05}
    with pytest.raises(StepFailed) as failed:
        wait_until("install", lambda: False, what="the release", **moving)
    assert "the release: nothing moved" in failed.value.fields["reason"]
    assert next(counter, None) is None

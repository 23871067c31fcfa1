"""A school's PC whose every step runs in a process that is killed: forks of one warm parent, so that 200 are cheap.

The parent holds no database and no socket of its own; each line of JSON on its standard input is one step, done by a
fresh fork, and answered by a line on standard output. `kill_after_seconds`, where given, is counted from the moment at
which the step proper begins, and ends the fork with SIGKILL. What a fork has committed it says as it goes, through a
pipe: whatever was said before the kill must be true after it.
"""

# ruff: noqa: PLC0415 - the node is imported once its settings are known
from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEGUN = "begun"


def _main(root: Path, url: str) -> None:
    import django

    django.setup()
    from tests.node.faults import School

    steps = _Steps(School(root, url))
    for line in sys.stdin:
        asked = json.loads(line)
        answer = _fork(getattr(steps, asked.pop("step")), asked.pop("kill_after_seconds", None), asked)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _fork(step: Callable[..., Any], kill_after_seconds: float | None, options: dict[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 1
        try:
            with os.fdopen(writing, "w") as says:
                step(lambda word: (says.write(word + "\n"), says.flush()), **options)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as heard:
        words = _listen(child, heard, kill_after_seconds)
    _, status = os.waitpid(child, 0)
    return {"words": words, "was_killed": os.WIFSIGNALED(status), "failed": os.WIFEXITED(status) and status != 0}


def _listen(child: int, heard: Any, kill_after_seconds: float | None) -> list[str]:
    if kill_after_seconds is None:
        return heard.read().split("\n")[:-1]
    words = []
    while word := heard.readline():
        words.append(word.strip())
        if word.strip() == BEGUN:
            break
    if word:
        time.sleep(kill_after_seconds)
    # A fork that is done waits, as a zombie, for its parent: the signal meets nobody else.
    os.kill(child, signal.SIGKILL)
    return words + [word for word in heard.read().split("\n") if word]


class _Steps:
    """What a fork does; each ends by itself where nobody kills it."""

    def __init__(self, school: Any) -> None:
        self.school = school

    def prepare(self, say: Callable[[str], object], *, code: str, root_sha256: str) -> None:
        """Make the tables and a teacher, and enrol."""
        from django.contrib.auth.models import User
        from django.core.management import call_command

        from federation.wire.sheet import Sheet
        from node.sync.enrol import sheet_enrol

        call_command("migrate", interactive=False, verbosity=0)
        User.objects.create_user("munira")
        sheet = Sheet(code=code, root_sha256=root_sha256, authority_sha256="", address=self.school.url)
        say(sheet_enrol(root=self.school.root, sheet=sheet).enrolment.node_id)

    def rating(self, say: Callable[[str], object]) -> None:
        """Rate, revise and withdraw, and say each record once its transaction is committed."""
        say(BEGUN)
        for stars in (1, 2, 3, 4, 5):
            rating = self._rate(say, stars)
            self.school.revise(rating, 6 - stars)
            if stars == 3:
                self.school.withdraw(self._rate(say, stars))

    def upload(self, say: Callable[[str], object]) -> None:
        """Hold a contact while ratings wait."""
        for stars in (1, 2, 3):
            self._rate(say, stars)
        say(BEGUN)
        self.school.contact()

    def meet(self, say: Callable[[str], object]) -> None:
        """Hold a contact, and say what failed in it."""
        report = self.school.contact()
        for error in report.failures.values() if report else ():
            say(error.code)

    def learn(self, say: Callable[[str], object], *, base: str, widths: dict[str, int]) -> None:
        """Finish an update to the plan that the centre has for a PC that runs `base`, and say its digest."""
        from tests.node.learnt_update import update_learn

        say(update_learn(self.school.root, base=base, widths=widths))

    def download(self, say: Callable[[str], object]) -> None:
        """Hold a contact while a release waits."""
        say(BEGUN)
        self.school.contact()

    def staging(self, say: Callable[[str], object]) -> None:
        """Hold a contact; the step begins with the self-test of what was fetched."""
        self.school.on_self_test = lambda: say(BEGUN)
        self.school.contact()

    def activation(self, say: Callable[[str], object]) -> None:
        """Fetch what waits, then load it, answer with it and report it."""
        self.school.contact()
        say(BEGUN)
        self.school.engine_start()
        self.school.contact()

    def look(self, say: Callable[[str], object], *, records: list[str]) -> None:
        """Assert that all is sound and that `records` are here, and say what runs."""
        from node.outbox.models import Parcel
        from tests.node.faults import school_expect_sound

        kept = set(Parcel.objects.values_list("record_id", flat=True))
        assert set(records) <= kept, set(records) - kept
        say(school_expect_sound(self.school.root) or "")

    def finish(self, say: Callable[[str], object], *, release: str) -> None:
        """Go on undisturbed until nothing waits and `release` runs, and say what the centre should have."""
        while not self.school.is_done(release):
            self.school.contact()
            self.school.engine_start()
        self.school.contact()
        say(json.dumps(self.school.said()))

    def say(self, say: Callable[[str], object]) -> None:
        """Hold contacts until nothing waits, and say what the centre should have."""
        from node.outbox.services import parcels_waiting

        while parcels_waiting():
            self.school.contact()
        say(json.dumps(self.school.said()))

    def _rate(self, say: Callable[[str], object], stars: int) -> Any:
        from django.contrib.auth.models import User

        rating = self.school.rate(User.objects.get(), stars)
        say(f"record {rating.record_id}")
        return rating


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2])

"""Updates whose process is killed at each touch of the disk, with the service, as a power cut would end both.

Python tells an audit hook of each file that is opened, linked, renamed or removed, each folder and each database; the
Nth of these ends a fork of this process with SIGKILL. Then the PC starts again: the service first, whatever program is
current, and the updater after it. What is there in the end is printed, a line of JSON for each N.

The service stands in for a node: it migrates the database as the new program would. The user's steps are the real ones,
but for the rehearsal and the look at the page, which touch nothing of what an update changes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from node.programs.place import ProgramPlace, version_of
from node.programs.state import update_read
from node.root import DATABASE_NAME
from node.updater.database import before_forget, before_keep, before_path, before_put_back
from node.updater.said import Said
from node.updater.updating import Patience, Updater

TOUCHES = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "shutil.rmtree"})
MIGRATE = """
CREATE TABLE IF NOT EXISTS chat_newer (id integer primary key);
INSERT INTO django_migrations (app, name, applied) SELECT 'chat', '0007_newer', '2026-11-26'
WHERE NOT EXISTS (SELECT 1 FROM django_migrations WHERE name = '0007_newer');
"""


class _Count:
    def __init__(self, root: Path, last: int) -> None:
        self.root, self.last, self.seen = str(root), last, 0

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        is_touch = event in TOUCHES or event == "sqlite3.connect"
        if not is_touch or not any(self.root in str(each) for each in arguments):
            return
        self.seen += 1
        if self.seen == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


class _Service:
    def __init__(self, place: ProgramPlace, data: Path, newer: str) -> None:
        self.place, self.data, self.newer = place, data, newer

    def start(self) -> None:
        if version_of(self.place.current) == self.newer:
            with closing(sqlite3.connect(self.data / DATABASE_NAME)) as opened, opened:
                opened.executescript(MIGRATE)

    def stop(self) -> None:
        """Nothing runs beside this process."""


def _update(root: Path, newer: str, code: str, last: int, *, starts: bool) -> int:
    place, data = ProgramPlace(opt=root / "opt"), root / "data"

    def as_user(data: Path, step: str, *_arguments: str) -> Said:
        if step == "keep":
            before_keep(data)
        elif step == "put_back":
            before_put_back(data)
        elif step == "forget":
            before_forget(data)
        return Said(code=code if step == "serves" else "")

    service = _Service(place, data, newer)
    count = _Count(root, last)
    sys.addaudithook(count)
    if starts:
        service.start()
    clock = lambda: datetime.now(UTC)  # noqa: E731
    options = {"place": place, "data": data, "port": 0, "service": service, "clock": clock, "patience": Patience()}
    Updater(**options, as_user=as_user).run()
    return count.seen


def _forked(*arguments: object, **options: bool) -> tuple[bool, int]:
    """Return whether the fork was killed, and how many touches it counted."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(writing, str(_update(*arguments, **options)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as heard:
        said = heard.read()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status), int(said or 0)


def _found(root: Path) -> dict[str, object]:
    place, data = ProgramPlace(opt=root / "opt"), root / "data"
    update = update_read(place.opt)
    with closing(sqlite3.connect(data / DATABASE_NAME)) as opened:
        is_newer = bool(opened.execute("SELECT count(*) FROM sqlite_master WHERE name = 'chat_newer'").fetchone()[0])
        rows = [name for (name,) in opened.execute("SELECT name FROM people_schoolclass")]
        (check,) = opened.execute("PRAGMA integrity_check").fetchone()
    return {
        "version": version_of(place.current),
        "updater": version_of(place.updater),
        "phase": update.phase.value,
        "given_up": [each.code for each in update.given_up],
        "is_newer": is_newer,
        "rows": rows,
        "check": check,
        "has_copy": before_path(data).exists(),
    }


def _main(ready: Path, scratch: Path, newer: str, code: str) -> None:
    root = scratch / "counted"
    shutil.copytree(ready, root, symlinks=True)
    _, touches = _forked(root, newer, code, 0, starts=False)
    for last in range(1, touches + 1):
        root = scratch / str(last)
        shutil.copytree(ready, root, symlinks=True)
        was_killed, _ = _forked(root, newer, code, last, starts=False)
        between = _found(root)
        _forked(root, newer, code, 0, starts=True)
        line = {"was_killed": was_killed, "between": between, "found": _found(root)}
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        shutil.rmtree(root)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])

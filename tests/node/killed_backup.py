"""A backup or a restore whose process is killed at its Nth touch of the disk, as a power cut would end it.

Python tells an audit hook of each file that is opened, renamed or removed, each folder, database and process; the Nth
of these ends this process with SIGKILL. Without a number it counts them, and says how many there were.
"""

# ruff: noqa: PLC0415 - the node is imported once its settings are known
from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

TOUCHES = frozenset(
    {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree", "sqlite3.connect"}
    | {"subprocess.Popen"}
)


class _Count:
    def __init__(self, root: str, last: int) -> None:
        self.root, self.last, self.seen = root, last, 0

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event not in TOUCHES or (event != "subprocess.Popen" and self.root not in str(arguments[0])):
            return
        self.seen += 1
        if self.seen == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def _main(root: str, way: str, file: str, last: int) -> None:
    import django

    django.setup()
    from django.utils import timezone

    from node.backup.making import backup_make
    from node.backup.restoring import backup_restore, restore_undo

    count = _Count(root, last)
    sys.addaudithook(count)
    if way == "make":
        backup_make(root=Path(root), folder=Path(file), passphrase="a long passphrase", clock=timezone.now)
    elif way == "restore":
        backup_restore(root=Path(root), source=Path(file), passphrase="a long passphrase", clock=timezone.now)
    else:
        restore_undo(root=Path(root), clock=timezone.now)
    sys.stdout.write(f"{count.seen}\n")


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))

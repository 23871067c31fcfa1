"""Start the making of a backup, or a restore, in a process of its own: a page must not wait for minutes."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from node.children import child_environment, command_argv


def work_launch(*, root: Path, arguments: tuple[str, ...], passphrase: str = "") -> None:
    """Let another process do `node backup` with `arguments`; how far it is stands in the file of the work.

    The passphrase goes by a pipe: arguments and environment of a process can be read by others.
    """
    (root / "logs").mkdir(parents=True, exist_ok=True)
    with (root / "logs" / "backup.log").open("ab") as log:
        child = subprocess.Popen(
            command_argv("backup", *arguments),
            env=child_environment(root),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    # Somebody has to wait for its end, or it stays in the table of processes.
    threading.Thread(target=child.communicate, args=(passphrase.encode(),), daemon=True).start()

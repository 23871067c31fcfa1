"""How root lets the school's user take a step: a child process that has none of root's rights."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from federation.errors import TransportError
from federation.wire.canonical import MalformedDocument, parse
from node.root import ENVIRONMENT_NAME
from node.updater.said import Said

AsUser = Callable[..., Said]
_SAID = 300


class StepUnanswered(TransportError):
    """A step of the school's user came to nothing and is taken again; `problem` says why."""

    code = "step_unanswered"


def ask_user(data: Path, step: str, *arguments: str) -> Said:
    """Return what the step came to, taken by the owner of `data`.

    Raises:
        StepUnanswered: the child died; nothing is known of the step.
    """
    argv = [sys.executable, "-m", "node.updater.as_user", step, f"--data={data}", *arguments]
    environment = os.environ | {ENVIRONMENT_NAME: str(data), "DJANGO_SETTINGS_MODULE": "node.settings"}
    owner = pwd.getpwuid(data.stat().st_uid)
    is_given_away = os.geteuid() == 0 and owner.pw_uid != 0
    ended = subprocess.run(
        argv,
        env=environment | {"HOME": owner.pw_dir},
        user=owner.pw_uid if is_given_away else None,
        group=owner.pw_gid if is_given_away else None,
        extra_groups=[] if is_given_away else None,
        capture_output=True,
        check=False,
    )
    try:
        return parse(Said, ended.stdout.splitlines()[-1])
    except (IndexError, MalformedDocument) as error:
        raise StepUnanswered(step=step, problem=ended.stderr.decode(errors="replace").strip()[-_SAID:]) from error

"""`make acceptance`: a centre and three schools in networks of their own, from the folder to a restored centre.

Ends with status 0 where every station did what it must, else with 1 after one sentence; whatever happens, no process
and no network of it is left.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from federation.demo.errors import StepFailed
from federation.demo.progress import Journal
from tests.acceptance.centre import NAME, NEEDED, TREE
from tests.acceptance.kernel import KernelRefused, run_alone
from tests.acceptance.networks import CENTRE_ADDRESS
from tests.acceptance.stations import STATIONS, Acceptance
from tests.acceptance.summary import Summary
from tests.postgresql_cluster import INSTALLED
from tests.standin_package import STEPS

ROOT = TREE / "var" / "acceptance"
PACKAGES = TREE / "var" / "packages"
CONTEXT = 1024
"""Tokens: room for the prompts of the self-test."""


def main() -> int:
    """Walk the stations; return the exit status."""
    parser = argparse.ArgumentParser(prog="make acceptance", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="where all of it lies; emptied first")
    parser.add_argument("--standin", action="store_true", help="serve and train the stand-in, not a tiny random model")
    parser.add_argument("--until", choices=[name for name, _, _ in STATIONS], help="the last station (default: all)")
    options = parser.parse_args()
    if missing := _missing():
        return _say(f"The acceptance run needs {missing}.")
    # Whose settings these are; the centre's and the schools' are their own.
    for name in [name for name in os.environ if name.startswith(("SORO_", "DJANGO_", "PYTHON"))]:
        del os.environ[name]
    try:
        run_alone({NAME: CENTRE_ADDRESS})
    except KernelRefused as refusal:
        return _say(f"The acceptance run needs root, and a kernel that lets it have networks of its own: {refusal}.")
    signal.signal(signal.SIGTERM, _interrupt)
    shutil.rmtree(options.root, ignore_errors=True)
    options.root.mkdir(parents=True)
    return _walk(options.root.resolve(), until=options.until, has_standin=options.standin)


def _walk(root: Path, *, until: str | None, has_standin: bool) -> int:
    console, summary = Console(), Summary()
    status = 0
    try:
        with ExitStack() as ending:
            python = f"{sys.version_info[0]}.{sys.version_info[1]}"
            journal = Journal(console=console)
            run = Acceptance(
                root=root,
                build_work=STEPS if has_standin else root / "builds",
                checkpoint=None if has_standin else _tiny(root / "checkpoint"),
                packages=PACKAGES,
                python=python,
                journal=journal,
                ending=ending,
                summary=summary,
            )
            run.walk(until=until)
    except KeyboardInterrupt:
        summary.failed, status = "It was interrupted.", 130
    except StepFailed as error:
        log = f" Its log: {error.fields['log']}" if error.fields["log"] else ""
        summary.failed, status = f"{error.fields['reason']}.{log}", 1
    except Exception as error:  # noqa: BLE001 - whatever it was, the station is named, and where it was told
        (root / "traceback.log").write_text(traceback.format_exc(), encoding="utf-8")
        summary.failed, status = f"{type(error).__name__}: {error}. Where: {root / 'traceback.log'}", 1
    summary.show(console)
    console.print(f"The same figures: {summary.write(root)}")
    if summary.failed:
        station = summary.stations[-1].station if summary.stations else "start"
        _say(f"The acceptance run ended at the station “{station}”: {summary.failed}")
    return status


def _tiny(folder: Path) -> Path:
    # In a process of its own: torch has threads, and this one starts children for minutes.
    made = f"tiny_checkpoint(Path({str(folder)!r}), context_tokens={CONTEXT})"
    code = f"from pathlib import Path; from tests.tiny_checkpoint import tiny_checkpoint; {made}"
    subprocess.run([sys.executable, "-c", code], cwd=TREE, check=True, capture_output=True)
    return folder


def _missing() -> str:
    """Return the programs that this machine lacks."""
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    if not any(INSTALLED.glob("*/bin/initdb")):
        lacking.append("PostgreSQL")
    return ", ".join(lacking)


def _say(sentence: str) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201
    return 1


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

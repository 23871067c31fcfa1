"""`manage.py demo`: parse, walk, print; end everything that was started, whatever happens."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from rich.console import Console

from federation.demo.errors import CheckMissed, StepFailed
from federation.demo.journey import Journey
from federation.demo.options import Options, Ports, pairs_read
from federation.demo.progress import Journal
from federation.demo.stations import LETTERS
from federation.demo.summary import summary_print, summary_write

VAR = Path("var")


def main(arguments: Sequence[str]) -> int:
    """Walk the journey; return 0 when everything that it must show held, else 1 after one sentence."""
    console = Console()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with ExitStack() as ending:
            _walk(_options_read(arguments), console, ending)
    except StepFailed as error:
        log = f" Its log: {error.fields['log']}" if error.fields["log"] else ""
        print(f"The demo failed at the step “{error.fields['step']}”: {error.fields['reason']}.{log}", file=sys.stderr)  # noqa: T201
        return 1
    except CheckMissed as error:
        print(f"The journey was walked to its end, but not shown: {error.fields['missed']}.", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("Interrupted; everything that the demo started has ended.", file=sys.stderr)  # noqa: T201
        return 130
    return 0


def _walk(options: Options, console: Console, ending: ExitStack) -> None:
    options.ports.check_free(options.schools)
    shutil.rmtree(options.root, ignore_errors=True)
    options.root.mkdir(parents=True)
    journey = Journey(options=options, journal=Journal(console=console), ending=ending)
    summary = journey.walk()
    path = options.root / "summary.json"
    summary_write(summary, path)
    summary_print(summary, console)
    console.print(f"The same figures: {path}")
    if options.keep:
        _keep(journey, console)
    if summary.missed:
        raise CheckMissed(missed="; ".join(summary.missed))


def _keep(journey: Journey, console: Console) -> None:
    console.print("Everything goes on running; Ctrl-C ends it.")
    console.print(f"  admin   {journey.centre.address}/admin/  {journey.admin.username} {journey.admin.password}")
    for school in journey.schools:
        console.print(f"  {school.name}  {school.address}/  {school.teacher.username} {school.teacher.password}")
    threading.Event().wait()


def _options_read(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="manage.py demo", description="Play the whole journey once, on this machine.")
    parser.add_argument(
        "--question", action="append", default=[], help="what pupils ask; repeatable, with --correction"
    )
    parser.add_argument("--correction", action="append", default=[], help="what the teacher answers instead")
    parser.add_argument("--checkpoint", type=Path, help="a Gemma 3 text checkpoint: transformers folder or GGUF file")
    parser.add_argument("--schools", type=int, default=2, help="how many schools (default: 2)")
    parser.add_argument("--port-base", type=int, default=8440, help="the first of the ports (default: 8440)")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument(
        "--root", type=Path, default=VAR / "demo", help="where it runs; emptied first (default: var/demo)"
    )
    given = parser.parse_args(arguments)
    if not 2 <= given.schools <= len(LETTERS):  # noqa: PLR2004 - a correction must reach a school that never saw it
        raise StepFailed(step="options", reason=f"--schools takes 2 to {len(LETTERS)}", log="")
    return Options(
        root=given.root.resolve(),
        cache=(VAR / "builds").resolve(),
        pairs=pairs_read(given.question, given.correction),
        schools=given.schools,
        checkpoint=given.checkpoint,
        ports=Ports(base=given.port_base),
        keep=given.keep,
    )


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt

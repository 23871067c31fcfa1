"""`python -m node.updater.as_user STEP …`: the steps that open the school's data, run by the user whose data it is.

Root starts each as a child and reads one line of JSON, a `Said`. What that user could make of it is no more than an
update that fails: which program is laid, and that it is the ministry's, root has found out by itself.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from federation.errors import FederationError
from federation.wire.canonical import canonical_bytes
from node.programs.errors import ProgramEngineSilent
from node.updater.database import before_forget, before_keep, before_put_back
from node.updater.rehearsal import rehearse
from node.updater.said import Said
from node.updater.serving import engine_answers, serving_await


def main() -> None:
    """Take the step that the command line names, and say what came of it."""
    options = _parser().parse_args()
    try:
        said = _step(options)
    except FederationError as error:
        said = Said(code=error.code, detail=str(error))
    sys.stdout.buffer.write(canonical_bytes(said) + b"\n")


def _step(options: argparse.Namespace) -> Said:
    data: Path = options.data
    if options.step == "rehearse":
        return rehearse(program=options.program, data=data, page_seconds=options.patience_seconds)
    if options.step == "engine":
        return Said(code="" if engine_answers(data) else ProgramEngineSilent.code)
    if options.step == "keep":
        before_keep(data)
        return Said()
    if options.step == "put_back":
        return Said(detail="rows were left aside" if before_put_back(data) else "")
    if options.step == "forget":
        before_forget(data)
        return Said()
    return serving_await(
        data=data,
        port=options.port,
        has_engine=options.has_engine,
        patience_seconds=options.patience_seconds,
        settle_seconds=options.settle_seconds,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="as_user", description=__doc__)
    parser.add_argument("step", choices=("rehearse", "engine", "keep", "put_back", "forget", "serves"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--program", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--has-engine", action="store_true")
    parser.add_argument("--patience-seconds", type=float, default=0.0)
    parser.add_argument("--settle-seconds", type=float, default=0.0)
    return parser


if __name__ == "__main__":
    main()

"""`make bench-rounds`: what a season of rounds costs and gains, part by part (`PARTS="scale exchange"` picks some).

A part is a module with `measure(*, work)`, which returns its rows, may leave plots named `rounds-*.png` in
`BENCH_ROOT`, and keeps what may be used again in the folder `work`. Each part's rows are kept by themselves as soon as
it is done, and `rounds.json` holds those of every part, so that a part can be measured again without the others.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tests.benchmarks.report import BENCH_ROOT, Row, report

PARTS = {
    "scale": "tests.benchmarks.rounds_scale",
    "exchange": "tests.benchmarks.rounds_exchange",
    "capacity": "tests.benchmarks.rounds_capacity",
    "processes": "tests.benchmarks.rounds_processes",
    "trainer": "tests.benchmarks.rounds_trainer",
    "learning": "tests.benchmarks.rounds_learning",
}
"""In the order in which they run: the one that takes longest comes last."""


def main() -> int:
    """Measure the parts that were asked for and report on all; return 0 when every bar holds."""
    wanted = _arguments()
    for part, module in PARTS.items():
        if part in wanted:
            work = BENCH_ROOT / "rounds" / part
            work.mkdir(parents=True, exist_ok=True)
            rows = import_module(module).measure(work=work)
            report(f"rounds-{part}", rows)
    return report("rounds", rows_kept(BENCH_ROOT))


def rows_kept(root: Path) -> list[Row]:
    """Return the newest rows of every part that was ever measured, in the parts' order."""
    files = [path for part in PARTS if (path := root / f"rounds-{part}.json").exists()]
    return [Row(**fields) for path in files for fields in json.loads(path.read_text(encoding="utf-8"))["rows"]]


def _arguments() -> Sequence[str]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parts: list[str] = parser.parse_args().parts
    unknown = sorted(set(parts) - PARTS.keys())
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    return parts or list(PARTS)


if __name__ == "__main__":
    sys.exit(main())

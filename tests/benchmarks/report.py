"""What every benchmark ends with: a JSON file, the same as a table, a plot beside it, and a status that tells.

`var/bench/NAME.json` is `{"machine": …, "rows": [{"name", "value", "unit", "bar", "holds"}]}`.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

BENCH_ROOT = Path(__file__).resolve().parents[2] / "var" / "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. `bar` is what it is held against, in words such as "<= 30"; empty where it only informs."""

    name: str
    value: float
    unit: str
    bar: str
    holds: bool


def row(name: str, value: float, unit: str, *, at_most: float | None = None, at_least: float | None = None) -> Row:
    """Return the figure with its bar judged; both bars may be given."""
    bars = [f"{sign} {bound:g}" for sign, bound in (("<=", at_most), (">=", at_least)) if bound is not None]
    holds = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    return Row(name=name, value=value, unit=unit, bar=", ".join(bars), holds=holds)


def report(name: str, rows: Sequence[Row], *, root: Path = BENCH_ROOT) -> int:
    """Write `name`.json and `name`.png under `root`, print the table; return 0 when every bar holds, else 1."""
    root.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "rows": [asdict(figure) for figure in rows]}
    (root / f"{name}.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _print_table(name, rows)
    _plot(root / f"{name}.png", name, rows)
    return 0 if all(figure.holds for figure in rows) else 1


def machine() -> dict[str, object]:
    """Return what a reader needs to judge the figures by."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
    }


def _print_table(name: str, rows: Sequence[Row]) -> None:
    table = Table("figure", "value", "unit", "bar", "holds", title=name)
    for figure in rows:
        verdict = "yes" if figure.holds else "NO"
        table.add_row(figure.name, f"{figure.value:.4g}", figure.unit, figure.bar, verdict if figure.bar else "")
    Console().print(table)


def _plot(path: Path, name: str, rows: Sequence[Row]) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and only this function draws

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(8, 0.5 * len(rows) + 1.2), layout="constrained")
    labels = [f"{each.name} ({each.unit})" for each in rows]
    bars = axes.barh(labels, [each.value for each in rows], color=["#2a7f62" if r.holds else "#b3261e" for r in rows])
    axes.bar_label(bars, labels=[f"{each.value:.4g}  {each.bar}" for each in rows], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_title(name)
    figure.savefig(path, dpi=120)
    plt.close(figure)

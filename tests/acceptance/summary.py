"""What became of each station: shown as a table, and left as JSON for programs, also where the run ends early."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

NAME = "summary.json"


@dataclass(kw_only=True)
class StationReport:
    """One station: what was done, and, once it is done, what was counted and how long it took."""

    station: str
    done: str
    is_done: bool = False
    counted: Mapping[str, object] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(kw_only=True)
class Summary:
    """The stations so far; `failed` is a sentence where one of them ended the run."""

    stations: list[StationReport] = field(default_factory=list)
    failed: str = ""

    @property
    def seconds(self) -> float:
        """Of all of them."""
        return round(sum(each.seconds for each in self.stations), 1)

    def begin(self, station: str, title: str) -> None:
        """Note that the station is under way."""
        self.stations.append(StationReport(station=station, done=title))

    def end(self, station: str, *, counted: Mapping[str, object], seconds: float) -> None:
        """Note what came of the station that is under way.

        Raises:
            ValueError: it is another one.
        """
        report = self.stations[-1]
        if report.station != station:
            raise ValueError(f"{report.station} is under way, not {station}")
        report.is_done, report.counted, report.seconds = True, counted, seconds

    def write(self, folder: Path) -> Path:
        """Return the file that holds it as JSON."""
        content = {
            "ok": not self.failed,
            "failed": self.failed,
            "seconds": self.seconds,
            "stations": [asdict(each) for each in self.stations],
        }
        path = folder / NAME
        path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        return path

    def show(self, console: Console) -> None:
        """Print it as a table."""
        table = Table("station", "what was done", "what was counted", "seconds")
        for each in self.stations:
            counted = "\n".join(f"{name}: {value}" for name, value in each.counted.items())
            seconds = f"{each.seconds:.1f}" if each.is_done else "[red]ended here[/red]"
            table.add_row(each.station, each.done, counted, seconds)
        table.add_row("", "", "", f"{self.seconds:.1f}")
        console.print(table)

"""Show people how far the journey is: one line a step, a bar for what is long."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

ReportProgress = Callable[[str, float], None]


@dataclass(slots=True)
class Journal:
    """The steps walked so far, with their seconds; prints each as it begins and ends."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def step(self, name: str, title: str) -> Iterator[ReportProgress]:
        """Time the step `name`; the caller reports (what, fraction from 0 to 1) as it goes."""
        begun = time.monotonic()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as bars:
            bar = bars.add_task(title, total=1.0)

            def show(what: str, fraction: float) -> None:
                bars.update(bar, description=f"{title}: {what}", completed=fraction)

            yield show
        self.seconds[name] = round(time.monotonic() - begun, 1)
        self.console.print(f"[green]✓[/green] {title} [dim]({self.seconds[name]:.1f} s)[/dim]")

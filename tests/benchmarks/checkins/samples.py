"""What a soak measures twice a minute, and what follows from it: whether memory grows, and what a check-in costs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.benchmarks.report import Row, row

ENOUGH = 8
"""A slope is told of so many samples of the second half at least."""
FLAT_MB_AN_HOUR = 2.0
"""At most; 1.4 GB in a month, of which a process that has only just warmed up takes most in its first hour."""
_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at the centre, and what the schools were answered since the last."""

    at_seconds: float
    pids: dict[str, int]
    memory_mb: dict[str, float]
    """Resident, of each process."""
    anonymous_mb: dict[str, float]
    """Of that what mirrors no file: a page of the program counts as resident once it was looked at, and is no leak."""
    processor_seconds: dict[str, float]
    """Since they began, of `web`, `worker` with the parts beside it, and `database`."""
    connections: int
    wal_bytes: int
    database_bytes: int
    checkins: int
    refused: int
    renewed: int
    p50_ms: float
    p95_ms: float


def slope_an_hour(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much the second of each pair grows in an hour, by least squares; the first is in seconds."""
    times, values = zip(*points, strict=True)
    return statistics.linear_regression(times, values).slope * _HOUR


def second_half(samples: Sequence[Sample]) -> list[Sample]:
    """Return what was seen after the half of the time that was measured."""
    return [each for each in samples if each.at_seconds >= samples[-1].at_seconds / 2] if samples else []


def soak_rows(samples: Sequence[Sample], *, rate: float) -> list[Row]:
    """Return the figures of a soak, also of one that was interrupted."""
    late = second_half(samples)
    rows = [row("soak_minutes", samples[-1].at_seconds / 60 if samples else 0.0, f"minutes at {rate:.0f} check-ins/s")]
    rows.append(row("soak_samples_late", len(late), "samples of the second half", at_least=ENOUGH))
    if len(late) >= ENOUGH:
        rows += [_growth(name, late) for name in late[0].memory_mb]
    return [*rows, *_answers(samples), *_costs(samples)] if samples else rows


def _growth(name: str, late: Sequence[Sample]) -> Row:
    slope = slope_an_hour([(each.at_seconds, each.anonymous_mb.get(name, 0.0)) for each in late])
    unit = f"MB an hour, at {late[-1].memory_mb.get(name, 0.0):.0f} MB resident"
    return row(f"soak_growth_{name.replace(' ', '_')}", slope, unit, at_most=FLAT_MB_AN_HOUR)


def _answers(samples: Sequence[Sample]) -> list[Row]:
    restarted = sum(later.pids != earlier.pids for earlier, later in pairwise(samples))
    return [
        row("soak_refused", sum(each.refused for each in samples), "answers", at_most=0),
        row("soak_restarted", restarted, "times another process", at_most=0),
        row("soak_checkins", sum(each.checkins for each in samples), "check-ins"),
        row("soak_sessions", sum(each.renewed for each in samples), "sessions opened anew"),
        row("soak_p50_ms", statistics.median(each.p50_ms for each in samples), "ms, median of the samples"),
        row("soak_p95_ms", statistics.median(each.p95_ms for each in samples), "ms, median of the samples"),
        row("soak_p95_ms_worst", max(each.p95_ms for each in samples), "ms, of the worst sample"),
        row("soak_connections", max(each.connections for each in samples), "connections of PostgreSQL at most"),
    ]


def _costs(samples: Sequence[Sample]) -> list[Row]:
    """Return what a check-in takes from the processor and the disk; the first sample is where the count begins."""
    first, last = samples[0], samples[-1]
    checkins = sum(each.checkins for each in samples[1:])
    if not checkins:
        return []
    seconds = {name: last.processor_seconds[name] - first.processor_seconds[name] for name in first.processor_seconds}
    took, hours = last.at_seconds - first.at_seconds, (last.at_seconds - first.at_seconds) / _HOUR
    grown = (last.database_bytes - first.database_bytes) / 1e6 / hours
    return [
        row("soak_web_processor_ms", 1000 * seconds["web"] / checkins, "ms of a core a check-in, web processes"),
        row("soak_database_processor_ms", 1000 * seconds["database"] / checkins, "ms of a core a check-in, PostgreSQL"),
        row("soak_worker_cores", seconds["worker"] / took, "cores of worker, beat and figures"),
        row("soak_wal_kb", (last.wal_bytes - first.wal_bytes) / 1000 / checkins, "kB of log a check-in, all databases"),
        row("soak_database_mb_an_hour", grown, "MB an hour more of the database"),
    ]

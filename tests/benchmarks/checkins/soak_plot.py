"""How a soak went, over its minutes: memory of each process, connections, and how soon schools were answered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.checkins.samples import Sample


def soak_plot(samples: Sequence[Sample], path: Path) -> None:
    """Leave the picture at `path`."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and only this function draws

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    minutes = [each.at_seconds / 60 for each in samples]
    figure, (memory, answers, connections) = plt.subplots(3, figsize=(9, 10), layout="constrained", sharex=True)
    for name in samples[0].memory_mb:
        memory.plot(minutes, [each.memory_mb.get(name, 0.0) for each in samples], label=name)
    memory.set_ylabel("resident, MB")
    memory.legend(ncols=2, fontsize="small")
    answers.plot(minutes, [each.p50_ms for each in samples], label="p50")
    answers.plot(minutes, [each.p95_ms for each in samples], label="p95")
    answers.set_ylabel("answered after, ms")
    answers.legend()
    connections.step(minutes, [each.connections for each in samples], where="post")
    connections.set_ylabel("connections of PostgreSQL")
    connections.set_xlabel("minutes")
    for axes in (memory, answers, connections):
        axes.set_ylim(bottom=0)
    figure.savefig(path, dpi=120)
    plt.close(figure)

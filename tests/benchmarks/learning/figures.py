"""The plots of the learning benchmark; each is one page that explains itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

GREEN, RED, GREY, BLUE = "#2a7f62", "#b3261e", "#8a8f98", "#31688e"


def plot_arms(path: Path, gains: Mapping[str, float], *, central: float, alone: Sequence[float]) -> None:
    """Draw each arm's gain beside that of central training and of schools alone, nats a token."""
    axes = _axes("Gain on reworded questions, nats a token")
    names = list(gains)
    bars = axes.barh(names, list(gains.values()), color=[RED if "poisoned" in name else GREEN for name in names])
    axes.bar_label(bars, fmt="%.2f", padding=4)
    axes.axvline(central, color=BLUE, label="central training on all data")
    axes.axvline(max(alone), color=GREY, linestyle="--", label="best school alone")
    axes.axvline(sum(alone) / len(alone), color=GREY, linestyle=":", label="schools alone, mean")
    axes.invert_yaxis()
    axes.margins(x=0.15)
    # Below the plot: wherever it stood in it, some run would have a bar there.
    axes.figure.legend(loc="outside lower center", ncols=3)
    _save(path, axes)


def plot_epsilon(path: Path, curves: Mapping[int, Sequence[tuple[float, float]]], *, without_noise: float) -> None:
    """Draw gain against ε, one curve for each number of schools; points are (ε, gain)."""
    axes = _axes("Private rounds: gain on reworded questions, nats a token")
    for (schools, points), colour in zip(sorted(curves.items()), (RED, GREY, GREEN, BLUE), strict=False):
        ordered = sorted(points)
        axes.plot([e for e, _ in ordered], [g for _, g in ordered], "o-", color=colour, label=f"{schools:,} schools")
    axes.axhline(without_noise, color=BLUE, linestyle="--", label="the same round without noise")
    # Noise that drowns the round loses tens of nats, which would flatten all else that can be told apart.
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_xscale("log")
    spent = sorted({epsilon for points in curves.values() for epsilon, _ in points})
    axes.set_xticks(spent, labels=[f"{epsilon:.2g}" for epsilon in spent])
    axes.minorticks_off()
    axes.set_xlabel("ε of a school for one round, at δ = 10⁻⁵")
    axes.legend()
    _save(path, axes)


def plot_schools(path: Path, alone: Mapping[str, tuple[int, float]], *, federated: float) -> None:
    """Draw what each school gains alone against how many labels it has; values are (labels, gain)."""
    axes = _axes("Each school alone: gain on everybody's reworded questions, nats a token")
    for name, (labels, gain) in alone.items():
        axes.plot(labels, gain, "o", color=GREY)
        axes.annotate(name.removeprefix("school-"), (labels, gain), textcoords="offset points", xytext=(4, 4))
    axes.axhline(federated, color=GREEN, label="all schools federated")
    axes.set_xlabel("labels of the school")
    axes.legend()
    _save(path, axes)


def _axes(title: str) -> Any:
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and only plots need it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    _, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    axes.set_title(title)
    return axes


def _save(path: Path, axes: Any) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    axes.figure.savefig(path, dpi=120)
    plt.close(axes.figure)

"""The part `learning` of bench-rounds: what schools that never share a label gain together.

Schools with different subjects learn on one real base (the stand-in, as the demo packages it), their updates are added
up in every way that the centre knows, and each adapter is examined on the held-out labels of the label set. What comes
out is compared with one training on all data, with each school alone, with poisoned schools and with noise. All gains
are on questions asked in other words than any school has seen. Everything trained is kept in the part's folder under a
digest of what decides it, so that a run which was cut goes on where it was.
"""

from __future__ import annotations

import os
from pathlib import Path
from statistics import mean

import django
import torch
from rich.console import Console

from central.releases.evaluation_set import texts_read
from federation.learning.precision import dtype_fastest
from federation.trust.keys import NodeKey, node_key_create, node_key_load
from tests.benchmarks.labels.label_set import Split, labels_read, labels_split
from tests.benchmarks.learning.arms import Settings
from tests.benchmarks.learning.base import Base
from tests.benchmarks.learning.findings import Findings, Version, findings_make
from tests.benchmarks.learning.kept import Kept
from tests.benchmarks.learning.schools import schools_deal
from tests.benchmarks.learning.trial import Trial
from tests.benchmarks.report import BENCH_ROOT, Row, row
from tests.standin_package import standin_package

THREADS = min(2, len(os.sched_getaffinity(0)))
"""One where the benchmark is held to one core, so that another can run beside it."""
BAR_DEFAULT, BAR_ROBUST = 0.9, 0.8
_console = Console(stderr=True, highlight=False)


def measure(*, work: Path) -> list[Row]:
    """Return the part's rows; leave its plots beside the other benchmarks'."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "central.settings")
    django.setup()
    settings, package, dtype = Settings(), standin_package(), dtype_fastest()
    torch.set_num_threads(THREADS)
    findings = trial_run(settings, package, work, dtype=dtype)
    findings.plot(BENCH_ROOT)
    return rows(findings)


def trial_run(settings: Settings, package: Path, work: Path, *, dtype: torch.dtype) -> Findings:
    """Return what `settings` find out on the base of `package`."""
    return findings_make(_trial(settings, package, work, dtype))


def _trial(settings: Settings, package: Path, work: Path, dtype: torch.dtype) -> Trial:
    labels = labels_split(labels_read())
    base = Base(package, dtype=dtype, key=_key(work / "node.pem"), work=work)
    trained = labels[Split.TRAINED]
    schools = schools_deal(trained, count=settings.schools, concentration=settings.concentration, seed=settings.seed)
    return Trial(
        settings=settings,
        base=base,
        kept=Kept(work / "kept"),
        schools=schools,
        held_out={split: labels[split] for split in (Split.REWORDED, Split.UNTAUGHT)},
        prose=texts_read(),
        say=_console.print,
    )


def rows(findings: Findings) -> list[Row]:
    """Return the figures with their bars."""
    default, central = findings.default, findings.central
    robust_share = findings.robust_best.gain / findings.default_first.gain
    figures = [
        row("gain_share_default", default.gain / central.gain, "of central training's", at_least=BAR_DEFAULT),
        row("gain_share_robust", robust_share, "of one default round's", at_least=BAR_ROBUST),
        row("gain_over_best_school", default.gain / max(findings.alone_gains), "times", at_least=1.0),
        row("gain_over_mean_school", default.gain / mean(findings.alone_gains), "times"),
        row("preferred_base", findings.base.reworded.preferred, "of held-out pairs"),
        row("preferred_central", central.examined.reworded.preferred, "of held-out pairs"),
        row("nats_base", findings.base.reworded.nats, "nats a token"),
        row("gain_central", central.gain, "nats a token"),
        row("gain_untaught_central", central.gain_untaught, "nats a token"),
        *_prose(central),
    ]
    for each in findings.versions:
        figures += _prose(each)
        figures.append(row(f"gain_{each.name}", each.gain, "nats a token"))
        figures.append(row(f"gain_untaught_{each.name}", each.gain_untaught, "nats a token"))
        figures.append(row(f"preferred_{each.name}", each.examined.reworded.preferred, "of held-out pairs"))
    for point in findings.private:
        name = f"gain_private_{point.schools}_schools_epsilon_{point.epsilon:.2g}"
        figures.append(row(name, point.gain, "nats a token"))
    return [*figures, *_costs(findings)]


def _prose(version: Version) -> list[Row]:
    return [
        row(f"perplexity_{language}_{version.name}", ratio, "of the base's")
        for language, ratio in version.dearer.items()
    ]


def _costs(findings: Findings) -> list[Row]:
    figures = []
    for scheme, cost in findings.costs.items():
        figures.append(row(f"bytes_up_{scheme}", mean(cost.up_bytes) / 1e6, "MB a school and round"))
        figures.append(row(f"bytes_down_{scheme}", cost.down_bytes / 1e6, "MB a school and round"))
        figures.append(row(f"training_seconds_{scheme}", mean(cost.seconds), "s a school and round"))
    return figures


def _key(path: Path) -> NodeKey:
    path.parent.mkdir(parents=True, exist_ok=True)
    return node_key_load(path) if path.exists() else node_key_create(path)

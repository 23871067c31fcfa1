"""What one run found out: gains over the base, beside those of central training and of schools alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from federation.basis import AdapterFactors
from federation.wire.canonical import canonical_bytes
from federation.wire.rounds import SchemeName
from tests.benchmarks.learning.figures import plot_arms, plot_epsilon, plot_schools
from tests.benchmarks.learning.shipping import adapter_ship
from tests.benchmarks.learning.trial import Examined, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One adapter: how it fares, and how many nats a token better than the base."""

    name: str
    examined: Examined
    gain: float
    gain_untaught: float
    dearer: Mapping[str, float]
    """What the gate's prose costs beside the base, as a ratio of perplexities by language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivatePoint:
    """One point of the curve of gain against ε."""

    schools: int
    epsilon: float
    gain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a scheme costs each school in a round."""

    up_bytes: tuple[int, ...]
    down_bytes: int
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that the rows and plots are made of."""

    base: Examined
    central: Version
    versions: tuple[Version, ...]
    """Every arm's adapters, one a round; those of the default first."""
    rounds: int
    alone: Mapping[str, tuple[int, float]]
    """Of each school its labels and what it gains alone."""
    private: tuple[PrivatePoint, ...]
    costs: Mapping[str, Cost]

    @property
    def default_first(self) -> Version:
        """Return the default's adapter after one round."""
        return self.versions[0]

    @property
    def default(self) -> Version:
        """Return the default's last adapter."""
        return self.versions[self.rounds - 1]

    @property
    def robust_best(self) -> Version:
        """Return the best of the robust rules under attack."""
        return max((each for each in self.versions if each.name.startswith("robust")), key=lambda each: each.gain)

    @property
    def alone_gains(self) -> tuple[float, ...]:
        """Return what each school gains alone."""
        return tuple(gain for _, gain in self.alone.values())

    def plot(self, root: Path) -> None:
        """Leave the plots in `root`."""
        gains = {each.name: each.gain for each in self.versions}
        plot_arms(root / "rounds-learning-arms.png", gains, central=self.central.gain, alone=self.alone_gains)
        plot_schools(root / "rounds-learning-schools.png", self.alone, federated=self.default.gain)
        curves: dict[int, list[tuple[float, float]]] = {}
        for point in self.private:
            curves.setdefault(point.schools, []).append((point.epsilon, point.gain))
        plot_epsilon(root / "rounds-learning-epsilon.png", curves, without_noise=self._private_ceiling())

    def _private_ceiling(self) -> float:
        return max(each.gain for each in self.versions if each.name.startswith(f"{SchemeName.FED_SB.value}-mean"))


def findings_make(trial: Trial) -> Findings:
    """Return what `trial` finds out; trains what no earlier run has trained."""
    base = trial.examine(None)

    def version(name: str, adapter: AdapterFactors) -> Version:
        examined = trial.examine(adapter)
        gain = base.reworded.nats - examined.reworded.nats
        untaught = base.untaught.nats - examined.untaught.nats
        preferred = examined.reworded.preferred
        dearer = {language: now / base.perplexity[language] for language, now in examined.perplexity.items()}
        prose = ", ".join(f"{language} {ratio:.2f}" for language, ratio in dearer.items())
        trial.say(
            f"{name}: {gain:+.3f} nats a token, untaught {untaught:+.3f}, {preferred:.0%} preferred, prose {prose}"
        )
        return Version(name=name, examined=examined, gain=gain, gain_untaught=untaught, dearer=dearer)

    def gain_of(name: str, adapter: AdapterFactors) -> float:
        found = base.reworded.nats - trial.examine_reworded(adapter).nats
        trial.say(f"{name}: {found:+.3f} nats a token")
        return found

    versions, costs = [], {}
    for arm in trial.settings.arms():
        adapters = trial.season(arm)
        versions += [version(f"{arm.name}-round-{place}", each) for place, each in enumerate(adapters, start=1)]
        if arm.scheme.value not in costs:
            costs[arm.scheme.value] = _cost(trial, arm.scheme, adapters[0])
    private = []
    for point in trial.settings.private_arms():
        adapter, epsilon = trial.private(point)
        schools = point.crowd * len(trial.schools)
        made = gain_of(f"private, {schools:,} schools, ε {epsilon:.2g}", adapter)
        private.append(PrivatePoint(schools=schools, epsilon=epsilon, gain=made))
    alone = zip(trial.schools, trial.alone(), strict=True)
    return Findings(
        base=base,
        central=version("central", trial.central()),
        versions=tuple(versions),
        rounds=trial.settings.rounds,
        alone={s.name: (len(s.labels), gain_of(f"{s.name} alone", adapter)) for s, adapter in alone},
        private=tuple(private),
        costs=costs,
    )


def _cost(trial: Trial, scheme: SchemeName, adapter: AdapterFactors) -> Cost:
    plan = trial.trainings.plan(scheme, 0, None)
    trained = list(trial.trainings.every(plan, None))
    return Cost(
        up_bytes=tuple(each.size_bytes for each in trained),
        down_bytes=len(canonical_bytes(plan)) + adapter_ship(plan, adapter).size_bytes,
        seconds=tuple(each.seconds for each in trained),
    )

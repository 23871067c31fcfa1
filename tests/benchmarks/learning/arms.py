"""What is compared: ways to combine the updates of the same schools, and how far each moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from central.training.plan_settings import ADAM_PLAN, NATURAL_PLAN, PlanSettings
from federation.learning.modes.mode import RobustRule, RobustTerms
from federation.learning.schemes.scheme import Fusion
from federation.wire.rounds import SchemeName

SHARE_POISONED = 0.2
PLAN = replace(NATURAL_PLAN, max_steps=12)
"""Under the schemes that take Adam's steps, a school's own dozen corrections are looked at eight times."""
CENTRAL_PLAN = ADAM_PLAN
"""One training on all data learns at the adapter's rank in every layer, where it gains most (docs/decisions/0069)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One season: how schools learn, how the centre adds up, and how many rounds."""

    name: str
    scheme: SchemeName = SchemeName.FFA_LORA
    fusion: Fusion = Fusion.LEAST_SQUARES
    size: float | None = None
    """The server's step: what the combined update is multiplied by; None: what the plan's settings say."""
    rounds: int = 1
    robust: RobustTerms | None = None
    is_poisoned: bool = False
    """Whether one school in five sends its update back to front and a hundred times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateArm:
    """One round under noise, for a country of `crowd` schools for each one that is here."""

    scheme: SchemeName
    crowd: int
    noise_multiplier: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One run of the benchmark; the default is the one that the bars hold for."""

    plan: PlanSettings = PLAN
    central: PlanSettings = CENTRAL_PLAN
    seed: int = 1
    schools: int = 20
    concentration: float = 0.5
    rounds: int = 11
    """Of the default arm; the others have one."""
    noise_multipliers: tuple[float, ...] = (0.5, 1.0, 2.0)
    crowds: tuple[int, ...] = (1, 50, 200)
    """20, 1,000 and 4,000 schools."""
    private_norm: float = 0.5
    private_labels: int = 16
    """In a private season the clip and the label cap enter the noise, so they are as tight as honest updates allow."""
    private_size: float = 4.0
    mean_sizes: tuple[float, ...] = (1.0, 4.0)
    """The mean of many schools is much shorter than each of them, so longer steps are tried beside 1."""
    rules: tuple[RobustRule, ...] = (RobustRule.TRIMMED_MEAN, RobustRule.MULTI_KRUM)

    @property
    def default(self) -> Arm:
        """Return the arm that a season has unless its admin chooses otherwise."""
        return Arm(name="ffa-lora", rounds=self.rounds)

    def arms(self) -> Iterator[Arm]:
        """Yield the default first, then what it is compared with."""
        yield self.default
        for size in self.mean_sizes:
            for scheme in (SchemeName.FFA_LORA, SchemeName.FED_SB):
                yield Arm(name=f"{scheme.value}-mean-{size:g}", scheme=scheme, fusion=Fusion.MEAN, size=size)
            yield Arm(name=f"fedit-{size:g}", scheme=SchemeName.FEDIT, fusion=Fusion.MEAN, size=size)
            yield Arm(name=f"flora-{size:g}", scheme=SchemeName.FLORA, fusion=Fusion.MEAN, size=size)
        yield Arm(name="fed-sb", scheme=SchemeName.FED_SB)
        yield Arm(name="poisoned", is_poisoned=True)
        for rule in self.rules:
            terms = RobustTerms(rule=rule, share=SHARE_POISONED)
            yield Arm(name=f"robust-{rule.value}", robust=terms, is_poisoned=True)

    def private_arms(self) -> Iterator[PrivateArm]:
        """Yield the points of the curve of gain against ε."""
        for crowd in self.crowds:
            for noise in self.noise_multipliers:
                yield PrivateArm(scheme=SchemeName.FED_SB, crowd=crowd, noise_multiplier=noise)

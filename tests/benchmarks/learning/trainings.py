"""Every training of a run: what schools send for a plan, and one on all data; each is done once and kept."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from central.training.plan_settings import PlanSettings
from federation.basis import AdapterFactors
from federation.learning.arrays_file import arrays_bytes, arrays_read
from federation.learning.schemes.contribution import Arrays, Contribution
from federation.learning.update import update_read
from federation.wire.canonical import canonical_bytes
from federation.wire.rounds import RoundPlan, SchemeName
from tests.benchmarks.labels.label_set import Label
from tests.benchmarks.learning.arms import Settings
from tests.benchmarks.learning.base import Base
from tests.benchmarks.learning.kept import Kept, digest_of, trainer_digest
from tests.benchmarks.learning.plans import plan_central, plan_make
from tests.benchmarks.learning.schools import School

CENTRAL = "central"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One training's update as the centre reads it."""

    contribution: Contribution
    size_bytes: int
    steps: int
    seconds: float


class Trainings:
    """The trainings of `schools` on `base`."""

    def __init__(
        self, *, settings: Settings, base: Base, kept: Kept, schools: Sequence[School], say: Callable[[str], None]
    ) -> None:
        """Nothing is trained yet; `say` gets a line about each training that was not kept from an earlier run."""
        self._settings, self._base, self._kept, self._say = settings, base, kept, say
        self._schools = schools
        self._trainer = trainer_digest()

    def plan(self, scheme: SchemeName, version: int, start: AdapterFactors | None) -> RoundPlan:
        """Return the plan of a season of `scheme` for schools that run `start`."""
        return self._plan_under(self._settings.plan, scheme, version, start)

    def every(self, plan: RoundPlan, start: AdapterFactors | None) -> Iterator[Trained]:
        """Yield every school's training for `plan`, one at a time."""
        return (self._one(plan, start, school) for school in self._schools)

    def hold(self, plan: RoundPlan, start: AdapterFactors | None) -> Arrays:
        """Return the centre's own part of a round of `plan` from `start`."""
        key = digest_of(self._trainer, canonical_bytes(plan))
        return arrays_read(self._kept.content("holds", key, lambda: arrays_bytes(self._base.hold(plan, start))))

    def central(self) -> tuple[RoundPlan, Trained]:
        """Return one training on all data."""
        plan = self._plan_under(self._settings.central, SchemeName.FFA_LORA, 0, None)
        labels = [label for school in self._schools for label in school.labels]
        # Schools have their subjects together; here every step is to see several.
        random.Random(self._settings.seed).shuffle(labels)
        central = plan_central(plan, schools=len(self._schools))
        return central, self._one(central, None, School(name=CENTRAL, region="", labels=tuple(labels)))

    def _plan_under(
        self, settings: PlanSettings, scheme: SchemeName, version: int, start: AdapterFactors | None
    ) -> RoundPlan:
        base = self._base
        return plan_make(settings, base=base.digest, slots=base.sizes, scheme=scheme, version=version, start=start)

    def _one(self, plan: RoundPlan, start: AdapterFactors | None, school: School) -> Trained:
        key = digest_of(self._trainer, canonical_bytes(plan), school.name.encode(), labels_bytes(school.labels))

        def learn() -> bytes:
            started = time.monotonic()
            content = self._base.learn(plan=plan, start=start, labels=school.labels, name=school.name)
            seconds = time.monotonic() - started
            self._kept.content("seconds", key, lambda: str(seconds).encode())
            self._say(f"  {plan.plan_id}: {school.name}, {len(school.labels)} labels, {seconds:.0f} s")
            return content

        content = self._kept.content("updates", key, learn)
        header, arrays = update_read(content, precision=plan.precision)
        return Trained(
            contribution=Contribution(node_id=school.name, labels=header.labels, staleness=0, arrays=arrays),
            size_bytes=len(content),
            steps=header.steps,
            seconds=self._kept.figure("seconds", key),
        )


def labels_bytes(labels: Sequence[Label]) -> bytes:
    """Return what names `labels` in a digest."""
    return json.dumps([asdict(label) for label in labels], ensure_ascii=False).encode()

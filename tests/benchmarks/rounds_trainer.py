"""Part `trainer`: what memory a school's training of the 270M's package takes at its peak, as a node starts it.

A school with two dozen corrections of a dozen to forty words, one of them held out, under the plans of both kinds of
season. The bar is on what is needed beside the package, whose pages the page that chats shares.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from central.training.plan_settings import ADAM_PLAN, NATURAL_PLAN, PlanSettings
from federation.inference.package import package_open
from federation.trust.keys import node_key_create
from federation.wire.canonical import canonical_bytes
from federation.wire.labels import LabelKind, TeacherLabel
from federation.wire.rounds import RoundPlan, SchemeName
from node.rounds.trainer import TRAINER_ENVIRONMENT, TRAINER_MODULE
from tests.benchmarks.labels.label_set import Split, labels_read, labels_split
from tests.benchmarks.learning.plans import plan_make
from tests.benchmarks.report import Row, row
from tests.standin_package import standin_package

BAR_MB = 1200
CORRECTIONS = 24
STEPS = 2


def measure(*, work: Path) -> list[Row]:
    """Return the peaks beside the package, and how long the trainings took."""
    package = standin_package()
    size = sum(path.stat().st_size for path in package.iterdir())
    rows = []
    for name, settings in (("natural", NATURAL_PLAN), ("adam", ADAM_PLAN)):
        said = _trained(work / name, package, settings)
        beside = (said["peak_rss_bytes"] - size) / 1e6
        rows.append(row(f"trainer_beside_package_{name}", beside, "MB", at_most=BAR_MB))
        rows.append(row(f"trainer_seconds_{name}", said["seconds"], f"s for {STEPS} steps at most, loading included"))
    return rows


def _trained(folder: Path, package: Path, settings: PlanSettings) -> dict[str, float]:
    """Return the last line of a training that has ended."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "plan.json").write_bytes(canonical_bytes(_plan(settings, package)))
    (folder / "labels.jsonl").write_bytes(b"\n".join(canonical_bytes(label) for label in _labels()))
    node_key_create(folder / "node.pem")
    paths = {"package": package, "plan": "plan.json", "labels": "labels.jsonl", "key": "node.pem", "out": "update"}
    words = [word for name, path in paths.items() for word in (f"--{name}", str(folder / path))]
    ended = subprocess.run(
        [sys.executable, "-m", TRAINER_MODULE, *words, "--node-id", "school", "--counter", "1"],
        env=os.environ | TRAINER_ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return said


def _plan(settings: PlanSettings, package: Path) -> RoundPlan:
    slots = [slot.name for slot in package_open(package).slots]
    plan = plan_make(settings, base="b" * 64, slots=slots, scheme=SchemeName.FFA_LORA, version=0, start=None)
    return replace(plan, max_steps=min(plan.max_steps, STEPS), stop_loss=0.0)


def _labels() -> list[TeacherLabel]:
    trained = labels_split(labels_read())[Split.TRAINED]
    corrected = [label for label in trained if label.correction][:CORRECTIONS]
    return [
        TeacherLabel(
            kind=LabelKind.CORRECTION,
            prompt=each.question,
            answer=each.answer,
            correction=each.correction,
            is_held_out=place == 0,
        )
        for place, each in enumerate(corrected)
    ]

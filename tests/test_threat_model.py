"""docs/threat-model.md stands on tests and decisions that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
DECISIONS = ROOT / "docs/decisions"


def test_every_test_that_the_threat_model_names_is_there():
    files = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    there = {name for text in files for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)}
    named = set(re.findall(r"`(test_\w+)`", PAGE))

    assert named
    assert named - there == set()


def test_every_decision_that_the_threat_model_names_is_there():
    there = {path.name[:4] for path in DECISIONS.glob("*.md")}
    named = {
        number for group in re.findall(r"\(((?:\d{4}(?:, | to )?)+)\)", PAGE) for number in re.findall(r"\d{4}", group)
    }

    assert named
    assert named - there == set()

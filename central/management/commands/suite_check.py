"""`central suite_check FILE`: whether a file of questions can be used by the gate, and what is in it."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from central.command_line import CentreCommand
from federation.inference.suite import suite_read


class Command(CentreCommand):
    """Read a suite as the gate does and count its questions per subject."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the file."""
        parser.add_argument("file", type=Path, help="JSON lines, see docs/suites.md")
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Read and count."""
        suite = suite_read(options["file"])
        subjects = dict(sorted(Counter(question.subject for question in suite.questions).items()))
        description = {
            "name": suite.name,
            "sha256": suite.sha256,
            "subjects": subjects,
            "safety_prompts": len(suite.prompts),
        }
        lines = [f"{count:6} {subject}" for subject, count in subjects.items()]
        lines += [f"{len(suite.questions):6} questions and {len(suite.prompts)} safety prompts in {suite.name}"]
        self.answer(description, as_json=options["json"], text="\n".join(lines))

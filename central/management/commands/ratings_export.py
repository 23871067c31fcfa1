"""`central ratings_export`: accepted ratings as a data set for training."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.feedback.datasets import DataSet
from central.feedback.export import dataset_export
from central.feedback.models import Rating


class Command(CentreCommand):
    """Write what reviewers have accepted as JSONL with the field names that TRL reads."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the kind of data set and the file."""
        parser.add_argument("--for", dest="dataset", choices=[each.value for each in DataSet], required=True)
        parser.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl")
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Write it."""
        dataset, rows = DataSet(options["dataset"]), 0
        with options["out"].open("w", encoding="utf-8") as out:
            ratings, now = Rating.objects.all(), timezone.now()
            for line in dataset_export(ratings=ratings, dataset=dataset, actor="command line", now=now):
                rows += out.write(line) > 0
        self.answer({"rows": rows}, as_json=options["json"], text=f"{rows} rows for {dataset.value}: {options['out']}")

"""`central claim_sheets`: one printed sheet for each school of a region whose PC has not come yet."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from central.command_line import CentreCommand
from central.schools.errors import NoSchoolWaits
from central.schools.invitations import sheets_print
from central.schools.models import School
from central.schools.sheets_of_centre import sheets_of_centre
from federation.trust.durable import durable_write


class Command(CentreCommand):
    """Draw new claim codes and leave their sheets in a PDF file; unused codes of earlier sheets become void."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take which schools, and where the sheets go."""
        parser.add_argument("--region", default="", help="default: every region")
        parser.add_argument("--out", type=Path, required=True, help="the PDF file; it is for its owner alone to read")
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Print."""
        region, out = options["region"], options["out"]
        if not out.parent.is_dir():
            raise CommandError(f"There is no folder {out.parent}; make it first.")
        schools = list(School.objects.without_pc().order_by("region", "district", "name"))
        chosen = [school for school in schools if region in ("", school.region)]
        if not chosen:
            raise NoSchoolWaits(region=region)
        sheets = sheets_print(schools=chosen, render=sheets_of_centre(), actor="command line", now=timezone.now())
        durable_write(out, sheets, mode=0o600)
        self.answer({"sheets": len(chosen)}, as_json=options["json"], text=f"{len(chosen)} sheets are in {out}")

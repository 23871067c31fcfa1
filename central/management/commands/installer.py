"""`central installer build`: one folder on a USB stick that makes a PC without internet the node of a school."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from central.command_line import CentreCommand
from central.disk import centre_disk
from central.installers.services import installer_build
from central.installers.wheels import PYTHONS
from central.releases.services import release_find
from central.schools.sheets_of_centre import sheets_of_centre
from central.trust_root import director_key

ACTOR = "command line"


class Command(CentreCommand):
    """Write an installation stick; an unused claim code that the school had becomes void."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take for which school, and where the stick is."""
        ways = parser.add_subparsers(dest="way", required=True)
        build = ways.add_parser("build", help="write an installation stick for one PC of a school")
        build.add_argument("--school", required=True, help="its name")
        build.add_argument("--release", help="the base to install, by version or digest (default: the newest in force)")
        build.add_argument("--python", action="append", choices=PYTHONS, help="only for this Python; repeatable")
        build.add_argument("--lean", action="store_true", help="without what learning takes: the PC never learns")
        build.add_argument("--sheet", type=Path, help="print the claim code into this PDF file, not on the stick")
        build.add_argument("place", metavar="DIR", type=Path, help="where the stick is mounted")
        build.add_argument("--root", help="the centre's folder (default: SORO_CENTRAL_ROOT or var/central)")
        build.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Write it, and say what goes on the paper beside it."""
        sheet: Path | None = options["sheet"]
        if sheet and not sheet.parent.is_dir():
            raise CommandError(f"There is no folder {sheet.parent}; make it first.")
        made = installer_build(
            place=options["place"],
            school=options["school"],
            release=release_find(options["release"]) if options["release"] else None,
            pythons=tuple(options["python"] or PYTHONS),
            sheet=sheets_of_centre() if sheet else None,
            sheet_path=sheet,
            is_lean=options["lean"],
            disk=centre_disk(),
            key=director_key(),
            actor=ACTOR,
            now=timezone.now(),
            progress=self._heard(),
        )
        text = (
            f"Stick for {made.school}: program {made.version}, release {made.release_version}, "
            f"{made.size_bytes} bytes; its claim code is valid until {made.code_expires_at:%Y-%m-%d}.\n"
            f"{_learning_words(made.learning)}\n"
            f"Write on paper what `sha256sum install` must say: {made.install_sha256}"
        )
        self.answer(made, as_json=options["json"], text=text)

    def _heard(self) -> Callable[[str, int, int], None]:
        """Return what prints each step, and each tenth of it, to standard error."""
        shown = ""

        def heard(step: str, done: int, total: int) -> None:
            nonlocal shown
            line = f"{step} {100 * done // total // 10 * 10}%" if total else step
            if line != shown:
                shown = line
                self.stderr.write(line)

        return heard


def _learning_words(pythons: Sequence[str]) -> str:
    if not pythons:
        return "The PC will not learn: this stick has nothing to learn with."
    return f"A PC with Python {', '.join(pythons)} will learn, if its memory and disk allow it."

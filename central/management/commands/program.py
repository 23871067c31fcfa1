"""`central program publish|offer|pause|resume|withdraw|list`: the program that schools' PCs run, and for whom it is."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.disk import centre_disk
from central.installers.program import program_folders, program_gather
from central.installers.wheels import PYTHONS
from central.programs.describe import program_describe, programs_describe
from central.programs.models import Program
from central.programs.services import (
    program_find,
    program_offer,
    program_pause,
    program_publish,
    program_resume,
    program_withdraw,
)
from central.schools.errors import SchoolUnknown
from central.schools.models import School

ACTOR = "command line"


class Command(CentreCommand):
    """Publish a program, offer it to schools, stop that again, and see what runs where."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take what to do, and with which program."""
        ways = parser.add_subparsers(dest="way", required=True)
        publish = ways.add_parser("publish", help="sign this centre's own version of the node as a program")
        publish.add_argument("--python", action="append", choices=PYTHONS, help="only for this Python; repeatable")
        offer = ways.add_parser("offer", help="let schools have it: some first, then all")
        whom = offer.add_mutually_exclusive_group(required=True)
        whom.add_argument("--school", action="append", default=[], help="its name; repeatable")
        whom.add_argument("--region", help="all schools of this region")
        whom.add_argument("--all", action="store_true", help="every school, and those that come later")
        offer.add_argument("--failures-allowed", type=int, help="how many PCs may give it up before it pauses itself")
        ways.add_parser("list", help="every program, and how many PCs run it or gave it up")
        for way, words in (
            ("pause", "offer it to nobody for now; who has it keeps it"),
            ("resume", "offer it again to whom it was offered"),
            ("withdraw", "take it out of what PCs trust"),
        ):
            step = ways.add_parser(way, help=words)
            if way != "resume":
                step.add_argument("--reason", required=True, help="why, for the audit")
        for name in ("offer", "pause", "resume", "withdraw"):
            ways.choices[name].add_argument("program", help="its version or number")
        for each in ways.choices.values():
            each.add_argument("--root", help="the centre's folder (default: SORO_CENTRAL_ROOT or var/central)")
            each.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Do it, and say how the program stands then."""
        if options["way"] == "list":
            listed = programs_describe()
            text = "\n".join(map(_line, listed)) or "There is no program yet."
            self.answer({"programs": listed}, as_json=options["json"], text=text)
            return
        program = self._publish(options) if options["way"] == "publish" else self._act(options)
        described = program_describe(program)
        self.answer(described, as_json=options["json"], text=_line(described))

    def _publish(self, options: dict[str, Any]) -> Program:
        disk = centre_disk()
        with tempfile.TemporaryDirectory() as scratch:
            pythons = tuple(options["python"] or PYTHONS)
            gathered = program_gather(pythons=pythons, kept=disk.installers, scratch=Path(scratch))
            folders = program_folders(program=gathered, into=Path(scratch) / "folders")
            version, now = gathered.version, timezone.now()
            return program_publish(version=version, folders=folders, disk=disk, actor=ACTOR, now=now)

    def _act(self, options: dict[str, Any]) -> Program:
        program, now = program_find(options["program"]), timezone.now()
        if options["way"] == "offer":
            program_offer(
                program=program,
                schools=_schools(options),
                is_for_all=options["all"],
                failures_allowed=options["failures_allowed"],
                actor=ACTOR,
                now=now,
            )
        elif options["way"] == "resume":
            program_resume(program=program, actor=ACTOR, now=now)
        elif options["way"] == "pause":
            program_pause(program=program, actor=ACTOR, reason=options["reason"], now=now)
        else:
            program_withdraw(program=program, disk=centre_disk(), actor=ACTOR, reason=options["reason"], now=now)
        return program


def _schools(options: dict[str, Any]) -> list[School]:
    """Return the schools that the options name, each of which there is."""
    region, names = options["region"], options["school"]
    found = list(School.objects.filter(region=region) if region else School.objects.filter(name__in=names))
    known = {each.name for each in found}
    missing = [region] if region and not found else [name for name in names if name not in known]
    if missing:
        raise SchoolUnknown(name=missing[0])
    return found


def _line(described: dict[str, Any]) -> str:
    whom = "all schools" if described["is_for_all"] else f"{described['schools']} schools"
    return (
        f"{described['number']}. {described['version']}: {described['status']}, for {whom}; "
        f"runs on {described['running']} PCs, given up by {described['given_up']}"
    )

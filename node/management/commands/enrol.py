"""`node enrol`: make this PC the node of the school whose claim sheet is given."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from federation.wire.sheet import Sheet, sheet_read
from node.doors import NodeCommand
from node.sync.enrol import Enrolled, sheet_enrol
from node.sync.self_enrol import sheet_enrol_or_keep


class Command(NodeCommand):
    """Enrols once, unless it is asked to do so again."""

    help = "make this PC the node of a school"

    def arguments(self, parser: CommandParser) -> None:
        """Declare what the ministry printed: the square's text, or its parts one by one."""
        parser.add_argument("--sheet", help="the text of the square on the claim sheet; replaces the next four")
        parser.add_argument("--central", help="the centre's address, such as https://soro.example")
        parser.add_argument("--code", help="the claim code")
        parser.add_argument("--root-sha256", help="the fingerprint of the root of trust")
        parser.add_argument("--authority-sha256", default="", help="the web server's fingerprint, if one is printed")
        parser.add_argument("--fleet", help="host:port of the SuperLink, where the school has a forwarder to it")
        parser.add_argument("--again", action="store_true", help="take another PC's place, or a new identity")
        parser.add_argument(
            "--later", action="store_true", help="where there is no link, keep the sheet and enrol later"
        )
        parser.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Enrol and name the school."""
        sheet = _sheet(options)
        self.root.mkdir(parents=True, exist_ok=True)
        self.tables_make()
        if options["later"]:
            if options["again"] or options["fleet"]:
                raise CommandError("--later goes with neither --again nor --fleet: a sheet is kept as it is printed")
            self._enrol_or_keep(sheet, options)
            return
        enrolled = sheet_enrol(root=self.root, sheet=sheet, fleet_address=options["fleet"], again=options["again"])
        self._tell(enrolled, options)

    def _enrol_or_keep(self, sheet: Sheet, options: dict[str, Any]) -> None:
        enrolled = sheet_enrol_or_keep(root=self.root, sheet=sheet)
        if enrolled is None:
            words = _("There is no link now. This PC enrols by itself as soon as there is one.")
            self.say(words, {"is_kept": True}, as_json=options["json"])
            return
        self._tell(enrolled, options)

    def _tell(self, enrolled: Enrolled, options: dict[str, Any]) -> None:
        enrolment = enrolled.enrolment
        answer = {
            "node_id": enrolment.node_id,
            "school": enrolment.school,
            "waits_for_approval": enrolled.waits_for_approval,
        }
        self.say(enrolled_words(enrolled), answer, as_json=options["json"])


def enrolled_words(enrolled: Enrolled) -> str:
    """Return what a person is told after enrolling."""
    words = _("This PC is now the node of the school “%(school)s”.") % {"school": enrolled.enrolment.school}
    if enrolled.waits_for_approval:
        return f"{words} {_('The ministry has yet to approve it; until then nothing is sent.')}"
    return words


def _sheet(options: dict[str, Any]) -> Sheet:
    if options["sheet"]:
        return sheet_read(options["sheet"])
    missing = [f"--{name.replace('_', '-')}" for name in ("central", "code", "root_sha256") if not options[name]]
    if missing:
        raise CommandError(f"the following arguments are required without --sheet: {', '.join(missing)}")
    return Sheet(
        code=options["code"],
        root_sha256=_unspaced(options["root_sha256"]),
        authority_sha256=_unspaced(options["authority_sha256"]),
        address=options["central"],
    )


def _unspaced(digest: str) -> str:
    return "".join(digest.split()).lower()

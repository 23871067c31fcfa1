"""`central audit`: verify the hash chain of the audit, or print its head to be kept elsewhere."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from central.command_line import CentreCommand
from central.schools.audit_chain import AuditVerdict, Head, audit_link_all, audit_verify, head_read
from central.schools.chain import GENESIS


class Command(CentreCommand):
    """Hash the whole audit anew and name the first broken link, or print the newest link."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take what to do."""
        ways = parser.add_subparsers(dest="way", required=True)
        verify = ways.add_parser("verify", help="hash the whole chain anew; ends with status 1 where it is broken")
        verify.add_argument("--head", default="", metavar="NUMBER:HASH", help="a head that was printed before")
        head = ways.add_parser("head", help="link what waits, and print the newest link; keep it away from the server")
        for way in (verify, head):
            way.add_argument("--root", help="the centre's folder (default: SORO_CENTRAL_ROOT or var/central)")
            way.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Do it."""
        if options["way"] == "head":
            audit_link_all()
            head = head_read()
            self.answer(head, as_json=options["json"], text=f"{head.number}:{head.own_hash}")
            return
        verdict = audit_verify(kept=_head(options["head"]))
        self.answer(verdict, as_json=options["json"], text=_line(verdict))
        if verdict.broken is not None:
            raise CommandError("The audit is not what it was.")


def _head(text: str) -> Head | None:
    if not text:
        return None
    number, _colon, own_hash = text.partition(":")
    if not number.isdecimal() or len(own_hash) != len(GENESIS):
        raise CommandError("A head is written NUMBER:HASH, as audit head prints it.")
    return Head(number=int(number), own_hash=own_hash)


def _line(verdict: AuditVerdict) -> str:
    waiting = f"; {verdict.waiting} rows wait for their link" if verdict.waiting else ""
    if verdict.broken is None:
        return f"All {verdict.head.number} links hold; head {verdict.head.number}:{verdict.head.own_hash}{waiting}."
    row = f", audit row {verdict.broken_event}" if verdict.broken_event is not None else ""
    return f"BROKEN at link {verdict.broken_number}{row}: {verdict.broken}; {verdict.head.number} links hold{waiting}."

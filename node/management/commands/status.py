"""`node status`: what runs here, what waits, and when the centre was last heard."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from node.doors import NodeCommand
from node.status import EngineState, NodeStatus, status_read
from node.status_sentences import newer_sentence, program_sentence, step_sentence


class Command(NodeCommand):
    """Tells."""

    help = "tell what runs here, what waits, and when the centre was last heard"

    def arguments(self, parser: CommandParser) -> None:
        """Declare the form for programs."""
        parser.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Print the status."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.tables_make()
        status = status_read(root=self.root, now=timezone.now())
        self.say(_words(status), status, as_json=options["json"])


def _words(status: NodeStatus) -> str:
    lines = [
        (_("What to do now"), step_sentence(status)),
        (_("School"), status.school or _("not enrolled")),
        (_("Release"), _release_words(status)),
        (_("Phase"), status.phase),
        (_("Newest release"), newer_sentence(status.newer)),
        (_("Engine"), _("answers") if status.engine is EngineState.ANSWERS else _("does not answer")),
        (_("Waiting parcels"), str(status.outbox_depth)),
        (_("Last contact"), status.last_contact_at.isoformat() if status.last_contact_at else _("never")),
        (_("Centre's list of releases"), _metadata_words(status)),
        (_("Can learn"), _("yes") if status.can_train else _("no")),
    ]
    if status.program:
        program = [status.program.version, program_sentence(status.program)]
        lines.append((_("Program"), " · ".join(part for part in program if part)))
    return "\n".join(f"{name}: {value}" for name, value in lines)


def _release_words(status: NodeStatus) -> str:
    if not status.running:
        return _("none")
    named = f"{status.version} ({status.running[:12]})"
    return named + " · " + _("withdrawn by the ministry") if status.is_withdrawn else named


def _metadata_words(status: NodeStatus) -> str:
    if status.metadata_at is None:
        return _("none")
    signed = _("signed on %(date)s") % {"date": status.metadata_at.date().isoformat()}
    return signed + " · " + _("too old to install anything new") if status.is_metadata_expired else signed

"""`central ratings_erase`: take the words out of a teacher's or a school's ratings, and say what stays where."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.feedback.erasure import school_ratings_erase, teacher_ratings_erase
from central.training.withdrawal import school_find, traces_of


class Command(CentreCommand):
    """Erase ratings on request."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take whose."""
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--school", help="the school's name: all that its teachers have said")
        whose.add_argument("--teacher", help="a pseudonym, as the admin shows it beside a rating")
        parser.add_argument("--reason", default="on request")
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Erase them."""
        said = {"actor": "command line", "reason": options["reason"], "now": timezone.now()}
        if options["school"]:
            school = school_find(options["school"])
            erased = school_ratings_erase(school=school, **said)
        else:
            school, erased = teacher_ratings_erase(teacher=options["teacher"], **said)
        traces = traces_of(school)
        stays = ", ".join(str(trace.release) for trace in traces) or "none"
        text = (
            f"{erased} ratings of «{school}» have no words any more. The school's PC keeps its own, which teachers "
            f"delete there. Versions made with the school's updates, which may have learnt from them: {stays}. "
            "school_withdraw takes the school's updates out of all later ones."
        )
        answer = {"erased": erased, "school": school.name, "traces": [asdict(trace) for trace in traces]}
        self.answer(answer, as_json=options["json"], text=text)

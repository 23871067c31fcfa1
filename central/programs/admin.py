"""Programs in the admin: which there are, how many PCs run or gave up each, and which program each school's PC runs."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from central.admin_pages import ReadOnlyAdmin, actor_of, rows_act
from central.programs.describe import pcs_given_up, pcs_running
from central.programs.models import Program, ProgramStanding
from central.programs.services import program_offer, program_pause, program_resume
from central.schools.pc_words import pc_code_words


@admin.register(Program)
class ProgramAdmin(ReadOnlyAdmin):
    """Programs, newest first; publishing and withdrawing are commands, because they sign."""

    list_display = (
        "version",
        "number",
        "status",
        "is_for_all",
        "running",
        "given_up",
        "failures_allowed",
        "created_at",
    )
    list_filter = ("status",)
    # Their names are not for those who see another region.
    exclude = ("schools",)
    actions = ("offer_to_all", "pause", "resume")

    @admin.display(description=_("runs on PCs"))
    def running(self, program: Program) -> int:
        """On how many PCs it runs."""
        return pcs_running(program)

    @admin.display(description=_("given up by PCs"))
    def given_up(self, program: Program) -> int:
        """How many PCs gave it up."""
        return pcs_given_up(program)

    @admin.action(description=_("Offer to all schools"), permissions=["steer"])
    def offer_to_all(self, request: HttpRequest, queryset: QuerySet[Program]) -> None:
        """Let every school have it."""

        def offer(program: Program) -> None:
            program_offer(
                program=program,
                schools=(),
                is_for_all=True,
                failures_allowed=None,
                actor=actor_of(request),
                now=timezone.now(),
            )

        rows_act(request, queryset, offer, gettext("offered to all schools"))

    @admin.action(description=_("Pause"), permissions=["steer"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Program]) -> None:
        """Offer it to nobody for now."""
        rows_act(
            request,
            queryset,
            lambda program: program_pause(program=program, actor=actor_of(request), reason="", now=timezone.now()),
            gettext("paused"),
        )

    @admin.action(description=_("Resume"), permissions=["steer"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Program]) -> None:
        """Offer it again."""
        rows_act(
            request,
            queryset,
            lambda program: program_resume(program=program, actor=actor_of(request), now=timezone.now()),
            gettext("offered again"),
        )


@admin.register(ProgramStanding)
class ProgramStandingAdmin(ReadOnlyAdmin):
    """Which program each school's PC runs, and the one that it gave up, with why."""

    list_display = ("node", "version", "learns", "failed", "why", "heard_at")
    list_filter = ("version", "form", "failed")
    search_fields = ("node__school__name",)
    list_select_related = ("node__school",)

    @admin.display(description=_("can learn"), boolean=True)
    def learns(self, standing: ProgramStanding) -> bool:
        """Whether it is the form with which a PC learns."""
        return standing.is_learning

    @admin.display(description=_("because of"))
    def why(self, standing: ProgramStanding) -> str:
        """Why the program was given up."""
        return pc_code_words(standing.code)

"""What learning means for single schools in the admin: the privacy ledger and withdrawals."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from central.admin_pages import ReadOnlyAdmin, actor_of, row_become, rows_act
from central.disk import centre_disk
from central.training.models import OptOut, PrivacyCharge
from central.training.withdrawal import Trace, school_readmit, school_withdraw, traces_of


@admin.register(PrivacyCharge)
class PrivacyChargeAdmin(ReadOnlyAdmin):
    """The privacy ledger, newest first: each row adds to those of the same school below it."""

    list_display = ("school", "round", "rounds", "epsilon", "delta", "noise_multiplier", "clip_norm", "charged_at")
    list_filter = ("school__region",)
    list_select_related = ("school", "round__season")
    search_fields = ("school__name",)


@admin.register(OptOut)
class OptOutAdmin(ReadOnlyAdmin):
    """Schools that have withdrawn from learning, and what of them stays in versions that were shipped."""

    list_display = ("school", "actor", "reason", "at", "shown_traces")
    list_select_related = ("school",)
    search_fields = ("school__name",)
    actions = ("readmit",)

    def has_add_permission(self, request: HttpRequest, *_parent: Any) -> bool:  # noqa: ANN401 - Django's signature
        """Let whoever may add withdrawals record one."""
        return bool(request.user.has_perm("training.add_optout"))

    def get_fields(self, request: HttpRequest, obj: OptOut | None = None) -> Any:  # noqa: ANN401
        """Ask for the school and the reason."""
        return ("school", "actor", "reason", "at", "shown_traces") if obj else ("school", "reason")

    def get_readonly_fields(self, request: HttpRequest, obj: OptOut | None = None) -> Any:  # noqa: ANN401
        """Show what stays once the school has withdrawn."""
        return ("shown_traces",) if obj else ()

    def save_model(self, request: HttpRequest, obj: OptOut, form: ModelForm[OptOut], change: bool) -> None:
        """Withdraw the school by its service, and say what stays."""
        school = obj.school
        traces = school_withdraw(
            school=school, actor=actor_of(request), reason=obj.reason, disk=centre_disk(), now=timezone.now()
        )
        row_become(obj, OptOut.objects.get(school=school))
        messages.info(request, _stays(traces))

    @admin.display(description=_("stays in"))
    def shown_traces(self, row: OptOut) -> str:
        """The versions that hold something of the school."""
        return _stays(traces_of(row.school))

    @admin.action(description=_("Let take part again"), permissions=["readmit"])
    def readmit(self, request: HttpRequest, queryset: QuerySet[OptOut]) -> None:
        """Ask the schools again from now on."""
        actor, now = actor_of(request), timezone.now()
        rows_act(
            request,
            queryset,
            lambda each: school_readmit(school=each.school, actor=actor, reason="admin", now=now),
            gettext("takes part again"),
        )

    def has_readmit_permission(self, request: HttpRequest) -> bool:
        """Let whoever may withdraw schools take them back."""
        return bool(request.user.has_perm("training.add_optout"))


def _stays(traces: tuple[Trace, ...]) -> str:
    if not traces:
        return gettext("Nothing of the school is in any version that was shipped.")
    versions = ", ".join(str(trace.release) for trace in traces)
    return gettext("Versions that were shipped and hold something of the school: %(versions)s.") % {
        "versions": versions
    }

"""What learning means for single schools in the admin: the privacy ledger, withdrawals, and updates in quarantine."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from central.admin_pages import ReadOnlyAdmin, actor_of, row_become, rows_act
from central.disk import centre_disk
from central.training.models import OptOut, PrivacyCharge, Update, UpdateStatus
from central.training.quarantine import update_reject, update_release
from central.training.withdrawal import Trace, school_readmit, school_withdraw, traces_of
from central.training.words import FIGURES, REASONS


class QuarantineActions(ReadOnlyAdmin):
    """Why an update stands apart, and what a person makes of it."""

    @admin.display(description=_("stands apart because"))
    def shown_reasons(self, update: Update) -> str:
        """The reasons in words."""
        return "; ".join(gettext(REASONS[reason]) for reason in update.figures.get("reasons", ()) if reason in REASONS)

    @admin.display(description=_("beside the others of its round"))
    def shown_figures(self, update: Update) -> SafeString:
        """The figures with their names."""
        known = [(gettext(word), update.figures[name]) for name, word in FIGURES.items() if name in update.figures]
        return format_html_join("", "<div>{}: {}</div>", ((word, _rounded(value)) for word, value in known))

    @admin.action(description=_("Let count"), permissions=["judge"])
    def release(self, request: HttpRequest, queryset: QuerySet[Update]) -> None:
        """Let quarantined updates count."""
        actor, now = actor_of(request), timezone.now()
        rows_act(
            request,
            queryset,
            lambda each: update_release(update=each, actor=actor, reason="admin", now=now),
            gettext("counts again"),
        )

    @admin.action(description=_("Refuse for good"), permissions=["judge"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Update]) -> None:
        """Refuse quarantined updates."""
        actor, now, disk = actor_of(request), timezone.now(), centre_disk()
        rows_act(
            request,
            queryset,
            lambda each: update_reject(update=each, disk=disk, actor=actor, reason="admin", now=now),
            gettext("is refused"),
        )

    def has_judge_permission(self, request: HttpRequest) -> bool:
        """Let whoever may change updates judge those in quarantine."""
        return bool(request.user.has_perm("training.change_update"))

    def get_actions(self, request: HttpRequest) -> Any:  # noqa: ANN401 - Django's signature
        """Offer the two while something is in quarantine."""
        actions = super().get_actions(request)
        if Update.objects.filter(status=UpdateStatus.QUARANTINED).exists():
            return actions
        return {name: action for name, action in actions.items() if name not in ("release", "reject")}


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


def _rounded(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)

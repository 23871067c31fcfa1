"""Rollouts in the admin: planned as text, steered by actions, read-only otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from central.admin_pages import ReadOnlyAdmin, actor_of, row_become, rows_act
from central.releases.models import Release
from central.rollouts.models import Assignment, Directive, PauseReason, Rollout, RolloutStatus, Wave
from central.rollouts.services import (
    DEFAULT_RULES,
    rollout_abort,
    rollout_approve,
    rollout_create,
    rollout_pause,
    rollout_reject,
    rollout_resume,
    rollout_roll_back,
    rollout_submit,
    wave_extend,
    wave_override,
)
from central.rollouts.wave_spec import WaveSpec, wave_spec_read
from central.words import sentence
from federation.errors import FederationError


class RolloutForm(forms.ModelForm):
    """Asks for the release and its waves, one a line."""

    wave_lines = forms.CharField(
        label=_("waves"),
        widget=UnfoldAdminTextareaWidget,
        help_text=_("One a line: NAME=school,school, NAME=25% (cumulative) or NAME=+50 (so many PCs more)."),
    )
    soak_hours = forms.IntegerField(
        label=_("soak, hours"), min_value=0, initial=48, widget=UnfoldAdminIntegerFieldWidget
    )
    deadline_days = forms.IntegerField(
        label=_("deadline, days"), min_value=1, initial=21, widget=UnfoldAdminIntegerFieldWidget
    )

    class Meta:
        model = Rollout
        fields = ("release", "starts_at")

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*arguments, **options)
        release = self.fields.get("release")
        if isinstance(release, forms.ModelChoiceField):
            release.queryset = Release.objects.in_force()

    def clean_wave_lines(self) -> list[WaveSpec]:
        """Return the waves that the lines ask for."""
        try:
            lines = self.cleaned_data["wave_lines"].splitlines()
            return [wave_spec_read(line) for line in lines if line.strip()]
        except FederationError as error:
            raise ValidationError(sentence(error.code, error.fields)) from error


class WaveInline(TabularInline):
    """The waves of a rollout."""

    model = Wave
    extra = 0
    can_delete = False
    fields = readonly_fields = ("number", "name", "percent", "count", "status", "opened_at", "verdict_reason", "counts")

    def has_add_permission(self, *_arguments: Any) -> bool:  # noqa: ANN401 - Django's signature
        """Refuse."""
        return False


@admin.register(Rollout)
class RolloutAdmin(ReadOnlyAdmin):
    """Rollouts, newest first."""

    list_display = ("__str__", "shown_status", "pause_reason", "created_by", "approved_by", "started_at", "ended_at")
    list_filter = ("status",)
    list_select_related = ("release",)
    inlines = (WaveInline,)
    actions = ("submit", "approve", "reject", "pause", "resume", "roll_back", "abort")

    def has_add_permission(self, request: HttpRequest, *_parent: Any) -> bool:  # noqa: ANN401 - Django's signature
        """Let whoever may add rollouts plan one."""
        return bool(request.user.has_perm("rollouts.add_rollout"))

    def get_form(self, request: HttpRequest, obj: Rollout | None = None, **options: Any) -> Any:  # noqa: ANN401
        """Use the planning form for a new rollout."""
        return super().get_form(request, obj, **(options | ({"form": RolloutForm} if obj is None else {})))

    def get_fields(self, request: HttpRequest, obj: Rollout | None = None) -> Any:  # noqa: ANN401
        """Ask only what a plan needs."""
        if obj is None:
            return ("release", "starts_at", "wave_lines", "soak_hours", "deadline_days")
        return super().get_fields(request, obj)

    def get_inlines(self, request: HttpRequest, obj: Rollout | None) -> Any:  # noqa: ANN401
        """Show waves once there are some."""
        return () if obj is None else self.inlines

    def save_model(self, request: HttpRequest, obj: Rollout, form: forms.ModelForm[Rollout], change: bool) -> None:
        """Make the draft by its service."""
        rules = replace(
            DEFAULT_RULES,
            soak=timedelta(hours=form.cleaned_data["soak_hours"]),
            deadline=timedelta(days=form.cleaned_data["deadline_days"]),
        )
        draft = rollout_create(
            release=obj.release,
            waves=form.cleaned_data["wave_lines"],
            creator=actor_of(request),
            rules=rules,
            starts_at=obj.starts_at,
            now=timezone.now(),
        )
        row_become(obj, draft)

    @display(
        description=_("status"),
        ordering="status",
        label={
            RolloutStatus.RUNNING.label: "info",
            RolloutStatus.PENDING_APPROVAL.label: "warning",
            RolloutStatus.PAUSED.label: "warning",
            RolloutStatus.ROLLING_BACK.label: "danger",
            RolloutStatus.COMPLETED.label: "success",
        },
    )
    def shown_status(self, rollout: Rollout) -> str:
        """The status in words."""
        return rollout.get_status_display()

    def _act(
        self,
        request: HttpRequest,
        queryset: QuerySet[Rollout],
        call: Callable[[Rollout, str, datetime], None],
        done: str,
    ) -> None:
        actor, now = actor_of(request), timezone.now()
        rows_act(request, queryset, lambda rollout: call(rollout, actor, now), done)

    @admin.action(description=_("Ask for approval"))
    def submit(self, request: HttpRequest, queryset: QuerySet[Rollout]) -> None:
        """Ask for approval."""
        self._act(
            request,
            queryset,
            lambda rollout, actor, now: rollout_submit(rollout=rollout, actor=actor, now=now),
            gettext("awaits approval"),
        )

    @admin.action(description=_("Approve"))
    def approve(self, request: HttpRequest, queryset: QuerySet[Rollout]) -> None:
        """Let the rollouts start."""
        self._act(
            request,
            queryset,
            lambda rollout, actor, now: rollout_approve(rollout=rollout, approver=actor, now=now),
            gettext("is approved"),
        )

    @admin.action(description=_("Reject"))
    def reject(self, request: HttpRequest, queryset: QuerySet[Rollout]) -> None:
        """Turn the rollouts down."""
        self._act(
            request,
            queryset,
            lambda rollout, actor, now: rollout_reject(rollout=rollout, actor=actor, reason="admin", now=now),
            gettext("is rejected"),
        )

    @admin.action(description=_("Pause"))
    def pause(self, request: HttpRequest, queryset: QuerySet[Rollout]) -> None:
        """Offer the releases to nobody new."""
        self._act(
            request,
            queryset,
            lambda rollout, actor, now: rollout_pause(rollout=rollout, reason=PauseReason.MANUAL, actor=actor, now=now),
            gettext("is paused"),
        )

    @admin.action(description=_("Resume"))
    def resume(self, request: HttpRequest, queryset: QuerySet[Rollout]) -> None:
        """Go on."""
        self._act(
            request,
            queryset,
            lambda rollout, actor, now: rollout_resume(rollout=rollout, actor=actor, now=now),
            gettext("is running again"),
        )

    @admin.action(description=_("Roll back"))
    def roll_back(self, request: HttpRequest, queryset: QuerySet[Rollout]) -> None:
        """Send committed nodes back to what they ran before."""
        self._act(
            request,
            queryset,
            lambda rollout, actor, now: rollout_roll_back(rollout=rollout, actor=actor, reason="admin", now=now),
            gettext("is being rolled back"),
        )

    @admin.action(description=_("Abort"))
    def abort(self, request: HttpRequest, queryset: QuerySet[Rollout]) -> None:
        """End the rollouts where they stand."""
        self._act(
            request,
            queryset,
            lambda rollout, actor, now: rollout_abort(rollout=rollout, actor=actor, reason="admin", now=now),
            gettext("is aborted"),
        )


@admin.register(Wave)
class WaveAdmin(ReadOnlyAdmin):
    """Waves; an inconclusive one waits for a person's word."""

    list_display = ("__str__", "rollout", "status", "opened_at", "soaking_since", "ended_at", "verdict_reason")
    list_filter = ("status",)
    list_select_related = ("rollout__release",)
    actions = ("extend", "override")

    @admin.action(description=_("Extend the deadline"))
    def extend(self, request: HttpRequest, queryset: QuerySet[Wave]) -> None:
        """Give the waves their deadline once more."""
        actor, now = actor_of(request), timezone.now()
        rows_act(request, queryset, lambda each: wave_extend(wave=each, actor=actor, now=now), gettext("is open again"))

    @admin.action(description=_("Let it pass on my word"))
    def override(self, request: HttpRequest, queryset: QuerySet[Wave]) -> None:
        """Let the waves pass; the audit names who said so."""
        actor, now = actor_of(request), timezone.now()
        rows_act(
            request,
            queryset,
            lambda each: wave_override(wave=each, actor=actor, reason=f"on the word of {actor}", now=now),
            gettext("has passed"),
        )


@admin.register(Assignment)
class AssignmentAdmin(ReadOnlyAdmin):
    """Each node's part in each rollout."""

    list_display = (
        "node",
        "rollout",
        "wave",
        "status",
        "variant",
        "error_code",
        "bytes_fetched",
        "offered_at",
        "reported_at",
    )
    list_filter = ("status", "rollout", "variant")
    search_fields = ("node__school__name",)
    list_select_related = ("node__school", "rollout__release", "wave")


@admin.register(Directive)
class DirectiveAdmin(ReadOnlyAdmin):
    """The newest word to each node."""

    list_display = ("node", "sequence", "release", "waiting_reason", "issued_at")
    list_select_related = ("node__school",)

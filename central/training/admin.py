"""Rounds, updates and leases in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import ModelChoiceField, ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import display

from central.admin_pages import ReadOnlyAdmin, actor_of, row_become, rows_act
from central.releases.models import Release, ReleaseKindChoice
from central.releases.package_slots import slot_columns
from central.training.models import Lease, Round, RoundStatus, Update, UpdateStatus
from central.training.rounds import round_abandon
from central.training.services import round_open
from central.trust_root import director_key
from central.words import sentence
from federation.errors import FederationError

SHOWN_FIELDS = (
    "plan_id",
    "base",
    "status",
    "why_ended",
    "release",
    "wanted",
    "minimum",
    "server_scale",
    "opened_by",
    "opened_at",
    "closes_at",
    "ended_at",
    "flwr_run_id",
)


class RoundForm(ModelForm):
    """Asks which base to learn on and how many updates are wanted."""

    class Meta:
        model = Round
        fields = ("base", "wanted")

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*arguments, **options)
        base = self.fields.get("base")
        if isinstance(base, ModelChoiceField):
            base.queryset = Release.objects.in_force().filter(kind=ReleaseKindChoice.BASE)

    def clean(self) -> dict[str, Any]:
        """Refuse what the service would refuse."""
        cleaned = super().clean() or self.cleaned_data
        base = cleaned.get("base")
        if base is not None:
            try:
                slot_columns(base)
                director_key()
            except FederationError as error:
                raise ValidationError(sentence(error.code, error.fields)) from error
            if Round.objects.filter(base=base, status=RoundStatus.COLLECTING).exists():
                raise ValidationError(sentence("round_under_way", {}))
        return cleaned


class UpdateInline(TabularInline):
    """The updates of a round."""

    model = Update
    extra = 0
    can_delete = False
    fields = readonly_fields = ("node", "status", "code", "labels", "norm", "loss_before", "loss_after", "received_at")

    def has_add_permission(self, *_arguments: Any) -> bool:  # noqa: ANN401 - Django's signature
        """Refuse."""
        return False


@admin.register(Round)
class RoundAdmin(ReadOnlyAdmin):
    """Rounds, newest first."""

    form = RoundForm
    list_display = ("plan_id", "base", "shown_status", "shown_updates", "closes_at", "why_ended", "release")
    list_filter = ("status",)
    list_select_related = ("base", "release")
    inlines = (UpdateInline,)
    actions = ("abandon",)

    def has_add_permission(self, request: HttpRequest, *_parent: Any) -> bool:  # noqa: ANN401 - Django's signature
        """Let whoever may add rounds open one."""
        return bool(request.user.has_perm("training.add_round"))

    def get_fields(self, request: HttpRequest, obj: Round | None = None) -> Any:  # noqa: ANN401
        """Ask for the base and the number of updates only."""
        if obj is None:
            return ("base", "wanted")
        return SHOWN_FIELDS

    def get_inlines(self, request: HttpRequest, obj: Round | None) -> Any:  # noqa: ANN401
        """Show updates once there may be some."""
        return () if obj is None else self.inlines

    def save_model(self, request: HttpRequest, obj: Round, form: ModelForm[Round], change: bool) -> None:
        """Open the round by its service."""
        opened = round_open(
            base=obj.base,
            slot_columns=slot_columns(obj.base),
            wanted=obj.wanted,
            key=director_key(),
            actor=actor_of(request),
            now=timezone.now(),
        )
        row_become(obj, opened)

    @display(
        description=_("status"),
        ordering="status",
        label={
            RoundStatus.COLLECTING.label: "info",
            RoundStatus.AGGREGATING.label: "warning",
            RoundStatus.COMPLETED.label: "success",
            RoundStatus.ABANDONED.label: "danger",
        },
    )
    def shown_status(self, round_: Round) -> str:
        """The status in words."""
        return round_.get_status_display()

    @admin.display(description=_("updates"))
    def shown_updates(self, round_: Round) -> str:
        """Accepted and wanted updates."""
        accepted = round_.updates.filter(status=UpdateStatus.ACCEPTED).count()
        return f"{accepted} / {round_.wanted}"

    @admin.action(description=_("Abandon"))
    def abandon(self, request: HttpRequest, queryset: QuerySet[Round]) -> None:
        """End the rounds without a release."""
        actor, now = actor_of(request), timezone.now()
        rows_act(
            request,
            queryset,
            lambda each: round_abandon(round_=each, reason="admin", actor=actor, now=now),
            gettext("is abandoned"),
        )


@admin.register(Update)
class UpdateAdmin(ReadOnlyAdmin):
    """Updates, newest first."""

    list_display = ("node", "round", "status", "code", "variant", "labels", "norm", "size_bytes", "received_at")
    list_filter = ("status", "code", "variant")
    list_select_related = ("node__school", "round")


@admin.register(Lease)
class LeaseAdmin(ReadOnlyAdmin):
    """Who may connect to the SuperLink now."""

    list_display = ("node", "round", "expires_at")
    list_select_related = ("node__school", "round")

"""Seasons, rounds and leases in the admin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from central.admin_pages import ReadOnlyAdmin, ScopedInline, actor_of, row_become, rows_act
from central.releases.models import ReleaseStatus
from central.releases.package_slots import slot_sizes
from central.training import admin_schools  # noqa: F401 - it registers its pages
from central.training.admin_updates import loss_after_rounded, loss_before_rounded, norm_rounded, why_set_aside
from central.training.forms import SeasonForm
from central.training.models import (
    Lease,
    Plan,
    Round,
    RoundStatus,
    Season,
    SeasonMode,
    SeasonStatus,
    Update,
    UpdateStatus,
)
from central.training.plans import season_version
from central.training.rounds import (
    candidate_pass_over,
    round_abandon,
    round_combine_now,
    round_progress,
    round_retry,
    schools_counted,
)
from central.training.seasons import season_close, season_open
from central.training.watch import adapters_compare, round_watch
from central.training.words import ENDS, WAITS
from central.trust_root import director_key
from federation.wire.rounds import SchemeName


@admin.display(description=_("why it ended"), ordering="why_ended")
def why_ended(round_: Round) -> str:
    """Return why the round ended in the reader's words; empty while it goes on."""
    reason = round_.why_ended
    return gettext(ENDS[reason]) if reason in ENDS else reason


CHOSEN_FIELDS = ("base", "wanted", "mode", "scheme", "steps", "fusion", "least_days", "mode_settings")
"""What a new season is asked for."""
SEASON_FIELDS = (
    "season_id",
    "base",
    "status",
    "mode",
    "mode_settings",
    "scheme",
    "wanted",
    "shown_version",
    "opened_by",
    "opened_at",
    "closed_at",
    "why_closed",
    "shown_adapters",
)
ROUND_FIELDS = (
    "round_id",
    "season",
    "status",
    why_ended,
    "release",
    "version",
    "wanted",
    "minimum",
    "opened_by",
    "opened_at",
    "closes_at",
    "ended_at",
    "shown_watch",
)


class FixedInline(ScopedInline):
    """Rows that belong to the page's row, to be read, each with a link to its own page."""

    show_change_link = True


class RoundInline(FixedInline):
    """The rounds of a season."""

    model = Round
    fields = readonly_fields = ("number", "status", why_ended, "closes_at", "version", "release")


class PlanInline(FixedInline):
    """The plans of a season."""

    model = Plan
    show_change_link = False
    fields = readonly_fields = ("plan_id", "start", "version", "issued_at", "closes_at")


class UpdateInline(FixedInline):
    """The updates of a round."""

    model = Update
    fields = readonly_fields = (
        "node",
        "status",
        why_set_aside,
        "labels",
        "staleness",
        norm_rounded,
        loss_before_rounded,
        loss_after_rounded,
        "received_at",
    )


@admin.register(Season)
class SeasonAdmin(ReadOnlyAdmin):
    """Seasons, newest first."""

    form = SeasonForm
    list_display = ("__str__", "base", "shown_status", "mode", "scheme", "shown_version", "shown_buffer", "opened_at")
    list_filter = ("status", "mode", "scheme")
    list_select_related = ("base",)
    readonly_fields = ("shown_version", "shown_adapters")
    inlines = (RoundInline, PlanInline)
    actions = ("close",)

    def has_add_permission(self, request: HttpRequest, *_parent: Any) -> bool:  # noqa: ANN401 - Django's signature
        """Let whoever may add seasons open one."""
        return bool(request.user.has_perm("training.add_season"))

    def get_fields(self, request: HttpRequest, obj: Season | None = None) -> Any:  # noqa: ANN401
        """Ask for what is chosen only."""
        return SEASON_FIELDS if obj else CHOSEN_FIELDS

    def get_inlines(self, request: HttpRequest, obj: Season | None) -> Any:  # noqa: ANN401
        """Show rounds and plans once there are some."""
        return () if obj is None else self.inlines

    def get_actions(self, request: HttpRequest) -> Any:  # noqa: ANN401 - Django's signature
        """Offer what some season can take now."""
        is_legal = {"close": Season.objects.filter(status=SeasonStatus.OPEN).exists()}
        return _legal(super().get_actions(request), is_legal)

    def save_model(self, request: HttpRequest, obj: Season, form: ModelForm[Season], change: bool) -> None:
        """Open the season by its service."""
        opened = season_open(
            base=obj.base,
            slot_sizes=slot_sizes(obj.base),
            wanted=obj.wanted,
            key=director_key(),
            actor=actor_of(request),
            now=timezone.now(),
            scheme=SchemeName(obj.scheme),
            mode=SeasonMode(obj.mode),
            mode_settings=obj.mode_settings,
            settings=form.cleaned_data["settings"],
        )
        row_become(obj, opened)

    @display(
        description=_("status"),
        ordering="status",
        label={SeasonStatus.OPEN.label: "success", SeasonStatus.CLOSED.label: "info"},
    )
    def shown_status(self, season: Season) -> str:
        """The status in words."""
        return season.get_status_display()

    @admin.display(description=_("adapters adopted"))
    def shown_version(self, season: Season) -> int:
        """How many adapters of the season were signed."""
        return season_version(season)

    @admin.display(description=_("buffer"))
    def shown_buffer(self, season: Season) -> str:
        """How full the round is that collects."""
        round_ = season.rounds.filter(status=RoundStatus.COLLECTING).first()
        return f"{schools_counted(round_)} / {round_.wanted}" if round_ else "–"

    @admin.display(description=_("adapters beside each other"))
    def shown_adapters(self, season: Season) -> SafeString:
        """What each round has led to."""
        return render_to_string("training/adapters.html", {"adapters": adapters_compare(season)})

    @admin.action(description=_("Close"))
    def close(self, request: HttpRequest, queryset: QuerySet[Season]) -> None:
        """Take no more updates in."""
        actor, now = actor_of(request), timezone.now()
        rows_act(
            request,
            queryset,
            lambda each: season_close(season=each, actor=actor, reason="admin", now=now),
            gettext("is closed"),
        )


@admin.register(Round)
class RoundAdmin(ReadOnlyAdmin):
    """Rounds, newest first."""

    list_display = ("__str__", "shown_mode", "shown_status", "shown_updates", "closes_at", why_ended, "release")
    list_filter = ("status", "season__mode")
    list_select_related = ("season__base", "release")
    readonly_fields = (why_ended, "shown_watch")
    inlines = (UpdateInline,)
    fields = ROUND_FIELDS
    actions = ("combine_now", "abandon", "retry", "pass_over")

    def get_actions(self, request: HttpRequest) -> Any:  # noqa: ANN401 - Django's signature
        """Offer what some round can take now."""
        statuses = set(Round.objects.order_by().values_list("status", flat=True).distinct())
        waiting = Round.objects.filter(release__status=ReleaseStatus.AWAITING_SIGNATURE, version=None)
        is_legal = {
            "combine_now": RoundStatus.COLLECTING in statuses,
            "abandon": bool(statuses & {RoundStatus.COLLECTING, RoundStatus.AGGREGATING}),
            "retry": RoundStatus.ABANDONED in statuses,
            "pass_over": waiting.exists(),
        }
        return _legal(super().get_actions(request), is_legal)

    @admin.display(description=_("mode"), ordering="season__mode")
    def shown_mode(self, round_: Round) -> str:
        """The season's mode in words."""
        return round_.season.get_mode_display()

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
        """Accepted and wanted updates, and those that wait for a person."""
        waiting = round_.updates.filter(status=UpdateStatus.QUARANTINED).count()
        counted = f"{schools_counted(round_)} / {round_.wanted}"
        return f"{counted} (+{waiting})" if waiting else counted

    @admin.display(description=_("how far schools have come"))
    def shown_watch(self, round_: Round) -> SafeString:
        """Counts by region, and what the round waits for."""
        now = timezone.now()
        is_open = round_.status == RoundStatus.COLLECTING
        reason = round_progress(round_, now=now).reason if is_open else ""
        shown = {"watch": round_watch(round_, now=now), "progress": gettext(WAITS.get(reason, reason))}
        return render_to_string("training/round_watch.html", shown)

    @admin.action(description=_("Combine now what there is"))
    def combine_now(self, request: HttpRequest, queryset: QuerySet[Round]) -> None:
        """End the collecting early."""
        self._act(request, queryset, lambda each, **by: round_combine_now(round_=each, **by), gettext("is combined"))

    @admin.action(description=_("Abandon"))
    def abandon(self, request: HttpRequest, queryset: QuerySet[Round]) -> None:
        """End the rounds without a release."""
        self._act(
            request,
            queryset,
            lambda each, **by: round_abandon(round_=each, reason="admin", **by),
            gettext("is abandoned"),
        )

    @admin.action(description=_("Combine an abandoned round after all"))
    def retry(self, request: HttpRequest, queryset: QuerySet[Round]) -> None:
        """Have abandoned rounds combined after all."""
        self._act(request, queryset, lambda each, **by: round_retry(round_=each, **by), gettext("is combined"))

    @admin.action(description=_("Go on without the candidate that nobody signs"))
    def pass_over(self, request: HttpRequest, queryset: QuerySet[Round]) -> None:
        """Let candidates that await their signature never ship."""
        self._act(
            request, queryset, lambda each, **by: candidate_pass_over(round_=each, **by), gettext("is passed over")
        )

    def _act(self, request: HttpRequest, rows: QuerySet[Round], call: Callable[..., None], done: str) -> None:
        now: datetime = timezone.now()
        actor = actor_of(request)
        rows_act(request, rows, lambda each: call(each, actor=actor, now=now), done)


@admin.register(Lease)
class LeaseAdmin(ReadOnlyAdmin):
    """Who may connect to the SuperLink now."""

    list_display = ("node", "round", "superlink", "expires_at")
    list_select_related = ("node__school", "round__season")


def _legal(actions: Mapping[str, Any], is_legal: Mapping[str, bool]) -> dict[str, Any]:
    return {name: action for name, action in actions.items() if is_legal.get(name, True)}

"""What teachers have said, to be read and never edited."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from central.admin_pages import ReadOnlyAdmin, actor_of, pdf_answer, rows_act
from central.feedback.clones import alarm_close, alarm_replace
from central.feedback.models import CloneAlarm, OutboxCursor, Rating, ReceivedParcel
from central.schools.sheets_of_centre import sheets_of_centre


@admin.register(Rating)
class RatingAdmin(ReadOnlyAdmin):
    """Ratings and corrections, newest first."""

    list_display = ("stars", "question_short", "correction_short", "node", "subject", "grade", "rated_at")
    list_filter = ("stars", "subject", "grade", "is_deleted", "node__school__region")
    search_fields = ("question", "answer", "correction", "node__school__name")
    list_select_related = ("node__school",)

    @admin.display(description=_("question"))
    def question_short(self, rating: Rating) -> str:
        """The beginning of the question."""
        return rating.question[:80]

    @admin.display(description=_("correction"))
    def correction_short(self, rating: Rating) -> str:
        """The beginning of the correction."""
        return rating.correction[:80]


@admin.register(ReceivedParcel)
class ReceivedParcelAdmin(ReadOnlyAdmin):
    """Parcels as they came; the quarantined ones wait for a human."""

    list_display = ("node", "seq", "kind", "status", "code", "received_at")
    list_filter = ("status", "code", "kind")
    search_fields = ("node__school__name", "record_id", "event_id")
    list_select_related = ("node__school",)


@admin.register(CloneAlarm)
class CloneAlarmAdmin(ReadOnlyAdmin):
    """Nodes whose disk seems to have been copied, and what a technician does about it."""

    list_display = ("node", "sign", "seq", "at", "resolution", "resolved_by")
    list_filter = ("sign", "resolution")
    list_select_related = ("node__school",)
    actions = ("close", "replace")

    def has_invite_permission(self, request: HttpRequest) -> bool:
        """Allow codes to those who may add them."""
        return request.user.has_perm("schools.add_claimcode")

    @admin.action(description=_("One PC, restored from a backup: close"), permissions=("invite",))
    def close(self, request: HttpRequest, queryset: QuerySet[CloneAlarm]) -> None:
        """Close alarms that a restore has raised."""
        actor, now = actor_of(request), timezone.now()
        rows_act(request, queryset, lambda alarm: alarm_close(alarm=alarm, actor=actor, now=now), gettext("is closed"))

    @admin.action(description=_("Two PCs: print the sheet for the one that stays"), permissions=("invite",))
    def replace(self, request: HttpRequest, queryset: QuerySet[CloneAlarm]) -> HttpResponse | None:
        """Withdraw the key that both PCs have, and answer the sheet by which one of them goes on."""
        if queryset.count() != 1:
            messages.error(request, gettext("Choose one alarm."))
            return None
        alarm = queryset.select_related("node__school").get()
        return pdf_answer(
            request,
            lambda: alarm_replace(alarm=alarm, render=sheets_of_centre(), actor=actor_of(request), now=timezone.now()),
        )


@admin.register(OutboxCursor)
class OutboxCursorAdmin(ReadOnlyAdmin):
    """Up to which parcel each node's are safe."""

    list_display = ("node", "epoch", "acknowledged_seq")
    list_select_related = ("node__school",)


def open_alarms(_request: HttpRequest) -> str:
    """Return how many alarms nobody has looked into, for the menu; nothing where there is none."""
    return str(CloneAlarm.objects.is_open().count() or "")

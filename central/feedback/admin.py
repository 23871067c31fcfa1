"""What teachers have said, to be read and never edited."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from central.admin_pages import ReadOnlyAdmin
from central.feedback.models import CloneAlarm, OutboxCursor, Rating, ReceivedParcel


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
    """Nodes whose disk seems to have been copied."""

    list_display = ("node", "epoch", "seq", "kept_event_id", "other_event_id", "at")
    list_select_related = ("node__school",)


@admin.register(OutboxCursor)
class OutboxCursorAdmin(ReadOnlyAdmin):
    """Up to which parcel each node's are safe."""

    list_display = ("node", "epoch", "acknowledged_seq")
    list_select_related = ("node__school",)

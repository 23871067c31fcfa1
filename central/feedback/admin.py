"""What teachers have said, to be read and never edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from central.admin_pages import ReadOnlyAdmin, actor_of, pdf_answer, reach_of_request, rows_act
from central.feedback.admin_filters import (
    KIND_WORDS,
    CodeFilter,
    CorrectionFilter,
    GradeFilter,
    KindFilter,
    ReleaseFilter,
    StarsFilter,
    SubjectFilter,
    code_words,
)
from central.feedback.agreement_words import AGREEMENT_WORDS, agreement_grade
from central.feedback.clones import alarm_close, alarm_replace
from central.feedback.datasets import DataSet
from central.feedback.erasure import ratings_erase, teacher_ratings_erase
from central.feedback.export import JSONL_TYPE, dataset_export
from central.feedback.models import (
    CloneAlarm,
    OutboxCursor,
    Rating,
    RatingQuerySet,
    RatingTrend,
    ReceivedParcel,
    ReviewStatus,
    SubjectAgreement,
)
from central.feedback.review_page import review_answer
from central.schools.sheets_of_centre import sheets_of_centre
from central.streams import download_answer


@admin.register(Rating)
class RatingAdmin(ReadOnlyAdmin):
    """Ratings and corrections, newest first: the queue of reviewers, data sets, and erasure on request."""

    list_display = (
        "stars",
        "question_short",
        "correction_short",
        "shown_status",
        "node",
        "subject",
        "grade",
        "received_at",
    )
    list_filter = (
        "status",
        StarsFilter,
        CorrectionFilter,
        SubjectFilter,
        GradeFilter,
        ReleaseFilter,
        "is_deleted",
        "node__school__region",
    )
    search_fields = ("question", "answer", "correction", "node__school__name", "teacher")
    list_select_related = ("node__school",)
    # A count of all rows beside that of the chosen ones would read the whole table once more.
    show_full_result_count = False
    actions = ("export_sft", "export_dpo", "export_kto", "erase", "erase_teachers")
    actions_list = ("review",)

    def has_review_permission(self, request: HttpRequest) -> bool:
        """Let whoever may change ratings judge them."""
        return bool(request.user.has_perm("feedback.change_rating"))

    def has_erase_permission(self, request: HttpRequest) -> bool:
        """Let whoever may delete ratings take their words out on request."""
        return bool(request.user.has_perm("feedback.delete_rating"))

    @action(description=_("Review"), url_path="review", permissions=("review",))
    def review(self, request: HttpRequest) -> HttpResponse:
        """Show the next rating that waits."""
        waiting: Any = self.get_queryset(request)
        return review_answer(request, waiting)

    @display(
        description=_("review"),
        ordering="status",
        label={ReviewStatus.ACCEPTED.label: "success", ReviewStatus.REJECTED.label: "danger"},
    )
    def shown_status(self, rating: Rating) -> str:
        """What a reviewer has made of it."""
        return gettext("erased") if rating.is_deleted else rating.get_status_display()

    @admin.display(description=_("question"))
    def question_short(self, rating: Rating) -> str:
        """The beginning of the question."""
        return rating.question[:80]

    @admin.display(description=_("correction"))
    def correction_short(self, rating: Rating) -> str:
        """The beginning of the correction."""
        return rating.wording[:80]

    @admin.action(description=_("Download accepted ones for SFT (JSONL)"), permissions=("review",))
    def export_sft(self, request: HttpRequest, queryset: RatingQuerySet) -> StreamingHttpResponse:
        """Answer prompts with the answers that should have been."""
        return _dataset_answer(request, queryset, DataSet.SFT)

    @admin.action(description=_("Download accepted ones for DPO (JSONL)"), permissions=("review",))
    def export_dpo(self, request: HttpRequest, queryset: RatingQuerySet) -> StreamingHttpResponse:
        """Answer prompts with corrections preferred to answers."""
        return _dataset_answer(request, queryset, DataSet.DPO)

    @admin.action(description=_("Download accepted ones for KTO (JSONL)"), permissions=("review",))
    def export_kto(self, request: HttpRequest, queryset: RatingQuerySet) -> StreamingHttpResponse:
        """Answer prompts with good and bad answers."""
        return _dataset_answer(request, queryset, DataSet.KTO)

    @admin.action(description=_("Erase the words, on request"), permissions=("erase",))
    def erase(self, request: HttpRequest, queryset: RatingQuerySet) -> None:
        """Take the words out of these ratings."""
        erased = ratings_erase(ratings=queryset, actor=actor_of(request), reason="on request", now=timezone.now())
        _erased_tell(request, erased)

    @admin.action(description=_("Erase everything that these teachers said, on request"), permissions=("erase",))
    def erase_teachers(self, request: HttpRequest, queryset: RatingQuerySet) -> None:
        """Take the words out of all ratings of the teachers of these."""
        actor, now, erased = actor_of(request), timezone.now(), 0
        teachers = queryset.exclude(teacher="").order_by().values_list("teacher", flat=True).distinct()
        for teacher in list(teachers):
            _school, count = teacher_ratings_erase(teacher=teacher, actor=actor, reason="on request", now=now)
            erased += count
        _erased_tell(request, erased)


def _dataset_answer(request: HttpRequest, ratings: RatingQuerySet, dataset: DataSet) -> StreamingHttpResponse:
    lines = dataset_export(ratings=ratings, dataset=dataset, actor=actor_of(request), now=timezone.now())
    name = f"soro-{dataset.value}.jsonl"
    answer = download_answer(request, lines, content_type=JSONL_TYPE, name=name)
    answer["Cache-Control"] = "no-store"
    return answer


def _erased_tell(request: HttpRequest, erased: int) -> None:
    text = gettext(
        "%(erased)s ratings have no words any more. Schools keep their own, which teachers delete there. What a "
        "school's updates have learnt stays in versions that were shipped; «Withdrawn schools» names them."
    )
    messages.success(request, text % {"erased": erased})


@admin.register(SubjectAgreement)
class SubjectAgreementAdmin(ReadOnlyAdmin):
    """How far teachers agree about the same answers, by subject."""

    list_display = ("shown_subject", "shown_alpha", "shown_meaning", "turns", "ratings", "counted_at")
    search_fields = ("subject",)

    @admin.display(description=_("subject"), ordering="subject")
    def shown_subject(self, agreement: SubjectAgreement) -> str:
        """The subject, or that none was chosen."""
        return agreement.subject or gettext("no subject")

    @admin.display(description=_("Krippendorff's α"), ordering="alpha")
    def shown_alpha(self, agreement: SubjectAgreement) -> str:
        """The measure with two digits."""
        return "–" if agreement.alpha is None else f"{agreement.alpha:.2f}"

    @admin.display(description=_("meaning"))
    def shown_meaning(self, agreement: SubjectAgreement) -> str:
        """What the measure says."""
        return gettext(AGREEMENT_WORDS[agreement_grade(agreement.alpha)])


@admin.register(RatingTrend)
class RatingTrendAdmin(ReadOnlyAdmin):
    """How ratings were, week by week: what the dashboard draws."""

    list_display = ("week", "trend_of", "value", "ratings", "good", "bad", "schools", "share", "low", "high")
    list_filter = ("trend_of", "week")
    list_select_related = ("week",)


@admin.register(ReceivedParcel)
class ReceivedParcelAdmin(ReadOnlyAdmin):
    """Parcels as they came; the quarantined ones wait for a human."""

    list_display = ("node", "seq", "shown_kind", "status", "shown_code", "received_at")
    list_filter = ("status", CodeFilter, KindFilter)
    search_fields = ("node__school__name", "record_id", "event_id")
    list_select_related = ("node__school",)
    show_full_result_count = False

    @admin.display(description=_("kind"), ordering="kind")
    def shown_kind(self, parcel: ReceivedParcel) -> str:
        """What it holds; a parcel of a kind that is not known waits in quarantine."""
        return str(KIND_WORDS.get(parcel.kind, parcel.kind))

    @admin.display(description=_("why in quarantine"), ordering="code")
    def shown_code(self, parcel: ReceivedParcel) -> str:
        """Why a person has to look at it."""
        return code_words(parcel.code)


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


def open_alarms(request: HttpRequest) -> str:
    """Return how many alarms nobody has looked into, for the menu; nothing where there is none."""
    return str(reach_of_request(request).rows(CloneAlarm.objects.is_open()).count() or "")

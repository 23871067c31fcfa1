"""Waves, the parts of single PCs and the director's words to them, to be read; the rollout's page steers them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from central.admin_pages import ReadOnlyAdmin, reach_of_request
from central.releases.models import bulky
from central.rollouts.models import Assignment, Directive, Rollout, Wave
from central.rollouts.words import WAITING, counts_words, quality_words, reason_words, size_words
from central.schools.pc_words import pc_code_words

ROLLOUTS_TO_CHOOSE = 50


@admin.register(Wave)
class WaveAdmin(ReadOnlyAdmin):
    """Waves; what is to be decided about one is decided on its rollout's page."""

    list_display = ("__str__", "rollout", "shown_size", "status", "opened_at", "ended_at", "shown_verdict")
    list_filter = ("status",)
    fields = readonly_fields = (
        "rollout",
        "number",
        "name",
        "shown_size",
        "status",
        "opened_at",
        "soaking_since",
        "ended_at",
        "shown_verdict",
        "shown_counts",
        "shown_quality",
        "min_committed",
        "pass_share",
        "failures_allowed",
        "silent_share",
        "soak_seconds",
        "deadline_seconds",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Wave]:
        """Count listed schools with the waves, and leave the releases' large fields where they are."""
        rows: QuerySet[Wave] = super().get_queryset(request)
        rows = rows.select_related("rollout__release").defer(*bulky("rollout__release"))
        return rows.annotate(schools_count=Count("schools"))

    @admin.display(description=_("size"))
    def shown_size(self, wave: Wave) -> str:
        """How large it was asked to be."""
        return size_words(wave)

    @admin.display(description=_("verdict"), ordering="verdict_reason")
    def shown_verdict(self, wave: Wave) -> str:
        """Why it stands as it does, in words."""
        return reason_words(wave.verdict_reason) or "–"

    @admin.display(description=_("counts at the verdict"))
    def shown_counts(self, wave: Wave) -> str:
        """Where its PCs stood then."""
        return counts_words(wave.counts)

    @admin.display(description=_("ratings at the verdict"))
    def shown_quality(self, wave: Wave) -> str:
        """What teachers' ratings said then."""
        return quality_words(wave.quality)


class RolloutFilter(admin.SimpleListFilter):
    """Parts by their rollout; the newest, each named with its release in one query."""

    title = _("rollout")
    parameter_name = "rollout__id__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - Django's
        """Name the newest rollouts."""
        seen = reach_of_request(request).rows(Rollout.objects.select_related("release"))
        newest = seen.defer(*bulky("release"))[:ROLLOUTS_TO_CHOOSE]
        return [(str(rollout.pk), str(rollout)) for rollout in newest]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Assignment]) -> QuerySet[Assignment]:
        """Return the parts in the chosen rollout."""
        chosen = self.value() or ""
        return queryset.filter(rollout=int(chosen)) if chosen.isdecimal() else queryset


@admin.register(Assignment)
class AssignmentAdmin(ReadOnlyAdmin):
    """Each node's part in each rollout."""

    list_display = (
        "node",
        "rollout",
        "wave",
        "status",
        "variant",
        "shown_error",
        "bytes_fetched",
        "offered_at",
        "reported_at",
    )
    list_filter = ("status", RolloutFilter, "variant")
    search_fields = ("node__school__name",)
    exclude = ("error_code",)
    readonly_fields = ("shown_error",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Assignment]:
        """Leave the releases' large fields where they are."""
        rows: QuerySet[Assignment] = super().get_queryset(request)
        return rows.select_related("node__school", "rollout__release", "wave").defer(*bulky("rollout__release"))

    @admin.display(description=_("error"), ordering="error_code")
    def shown_error(self, assignment: Assignment) -> str:
        """What went wrong, in words."""
        return pc_code_words(assignment.error_code) or "–"


@admin.register(Directive)
class DirectiveAdmin(ReadOnlyAdmin):
    """The newest word to each node."""

    list_display = ("node", "sequence", "release_short", "shown_waiting", "issued_at")
    list_select_related = ("node__school",)
    exclude = ("waiting_reason",)
    readonly_fields = ("shown_waiting",)

    @admin.display(description=_("release"), ordering="release")
    def release_short(self, directive: Directive) -> str:
        """The beginning of the release's digest; a dash where it is to stay as it is."""
        return directive.release[:12] or "–"

    @admin.display(description=_("waits because"), ordering="waiting_reason")
    def shown_waiting(self, directive: Directive) -> str:
        """Why it waits, in words."""
        words = WAITING.get(directive.waiting_reason)
        return gettext(words) if words else directive.waiting_reason

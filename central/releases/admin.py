"""Releases in the admin: drafts are made here, everything else happens by actions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from central.admin_pages import ReadOnlyAdmin, ScopedInline, actor_of, row_become, rows_act
from central.disk import centre_disk
from central.releases.card_drawing import card_draw
from central.releases.models import (
    NEVER_DRAWN,
    Release,
    ReleaseFile,
    ReleaseKindChoice,
    ReleaseStatus,
    ReleaseVariant,
)
from central.releases.recipe import recipe_read
from central.releases.services import (
    release_deprecate,
    release_draft_create,
    release_redraft,
    release_revoke,
    release_sign,
)
from central.releases.tasks import release_build
from central.releases.verdict_drawing import gate_reasons, reasons_said, verdicts_draw

DRAFT_FIELDS = ("title", "checkpoint", "has_chat_tuning", "recipe")
RELEASE_FIELDS = (
    "version",
    "title",
    "kind",
    "base",
    "status",
    "shown_progress",
    "shown_why",
    "shown_verdict",
    "created_by",
    "created_at",
    "published_at",
    "digest",
)
"""What is drawn stands here as it is drawn; `release_show --json` prints it as it is kept."""
BASE_FIELDS = ("checkpoint", "has_chat_tuning", "recipe", "card")
ADAPTER_FIELDS = ("shown_card",)


class ReleaseFileInline(ScopedInline):
    """The files of a release."""

    model = ReleaseFile


class ReleaseVariantInline(ScopedInline):
    """The variants of a base of several forms, and what a PC must have for each."""

    model = ReleaseVariant
    fields = readonly_fields = ("name", "size_bytes", "memory_bytes", "gpu_memory_bytes", "card")


@admin.register(Release)
class ReleaseAdmin(ReadOnlyAdmin):
    """Releases, newest first."""

    list_display = ("version", "title", "kind", "shown_status", "shown_progress", "shown_why", "published_at")
    list_filter = ("status", "kind")
    search_fields = ("title", "digest")
    readonly_fields = ("shown_progress", "shown_verdict", "shown_why", "shown_card")
    inlines = (ReleaseVariantInline, ReleaseFileInline)
    actions = ("build", "redraft", "sign", "deprecate", "revoke")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Release]:
        """Return the rows without what no page shows."""
        return super().get_queryset(request).defer(*NEVER_DRAWN)

    def has_add_permission(self, request: HttpRequest, *_parent: Any) -> bool:  # noqa: ANN401 - Django's signature
        """Let whoever may add releases make a draft of a base."""
        return bool(request.user.has_perm("releases.add_release"))

    def get_fields(self, request: HttpRequest, obj: Release | None = None) -> Any:  # noqa: ANN401
        """Ask for a draft's terms only, adapters come from rounds; else show what decides first."""
        if obj is None:
            return DRAFT_FIELDS
        # The gate's own reasons are a part of its verdict.
        is_said = bool(gate_reasons(obj.gate_report))
        fields = (*RELEASE_FIELDS, *(BASE_FIELDS if obj.base is None else ADAPTER_FIELDS))
        return tuple(field for field in fields if field != "shown_why" or not is_said)

    def get_inlines(self, request: HttpRequest, obj: Release | None) -> Any:  # noqa: ANN401
        """Show files once there may be some, and variants where there are any."""
        if obj is None:
            return ()
        return self.inlines if obj.variants.exists() else (ReleaseFileInline,)

    def save_model(self, request: HttpRequest, obj: Release, form: ModelForm[Release], change: bool) -> None:
        """Make the draft by its service."""
        draft = release_draft_create(
            kind=ReleaseKindChoice.BASE,
            title=obj.title,
            checkpoint=obj.checkpoint,
            has_chat_tuning=obj.has_chat_tuning,
            recipe=recipe_read(obj.recipe or {}),
            actor=actor_of(request),
            now=timezone.now(),
        )
        row_become(obj, draft)

    @display(
        description=_("status"),
        ordering="status",
        label={
            ReleaseStatus.READY.label: "success",
            ReleaseStatus.AWAITING_SIGNATURE.label: "info",
            ReleaseStatus.BUILDING.label: "warning",
            ReleaseStatus.BUILD_FAILED.label: "danger",
            ReleaseStatus.REFUSED.label: "danger",
            ReleaseStatus.REVOKED.label: "danger",
        },
    )
    def shown_status(self, release: Release) -> str:
        """The status in words."""
        return release.get_status_display()

    @admin.display(description=_("progress"))
    def shown_progress(self, release: Release) -> str:
        """How far the build, or the measuring at the gate, has come."""
        is_under_way = release.status in (ReleaseStatus.BUILDING, ReleaseStatus.GATED)
        return f"{release.stage} {release.stage_share:.0%}" if is_under_way and release.stage else ""

    @admin.display(description=_("why"))
    def shown_why(self, release: Release) -> SafeString:
        """What speaks against it, in words."""
        return format_html_join("", "<p>{}</p>", ((str(reason),) for reason in reasons_said(release)))

    @admin.display(description=_("where it comes from"))
    def shown_card(self, release: Release) -> SafeString:
        """The rounds, schools and labels of an adapter, and how they were added up."""
        return format_html_join("", "<p>{}: {}</p>", card_draw(release.card))

    @admin.display(description=_("the gate's verdict"))
    def shown_verdict(self, release: Release) -> SafeString:
        """What was measured, and every reason against the release."""
        return render_to_string("releases/verdict.html", {"drawings": verdicts_draw(release.gate_report)})

    @admin.action(description=_("Build"))
    def build(self, request: HttpRequest, queryset: QuerySet[Release]) -> None:
        """Have the worker build the drafts."""
        rows_act(request, queryset, lambda release: release_build.delay(release.pk), gettext("will be built"))

    @admin.action(description=_("Make a draft again"))
    def redraft(self, request: HttpRequest, queryset: QuerySet[Release]) -> None:
        """Let a failed build be tried again."""
        actor, now = actor_of(request), timezone.now()
        rows_act(
            request, queryset, lambda each: release_redraft(release=each, actor=actor, now=now), gettext("is a draft")
        )

    @admin.action(description=_("Sign and publish"))
    def sign(self, request: HttpRequest, queryset: QuerySet[Release]) -> None:
        """Publish what the gate has passed."""
        disk, actor, now = centre_disk(), actor_of(request), timezone.now()
        rows_act(
            request,
            queryset,
            lambda each: release_sign(release=each, disk=disk, actor=actor, now=now),
            gettext("is published"),
        )

    @admin.action(description=_("Deprecate"))
    def deprecate(self, request: HttpRequest, queryset: QuerySet[Release]) -> None:
        """Start nothing new with the releases."""
        actor, now = actor_of(request), timezone.now()
        rows_act(
            request,
            queryset,
            lambda each: release_deprecate(release=each, actor=actor, now=now),
            gettext("is deprecated"),
        )

    @admin.action(description=_("Revoke"))
    def revoke(self, request: HttpRequest, queryset: QuerySet[Release]) -> None:
        """Withdraw the releases from all schools that have not installed them."""
        disk, actor, now = centre_disk(), actor_of(request), timezone.now()
        rows_act(
            request,
            queryset,
            lambda each: release_revoke(release=each, disk=disk, actor=actor, reason="admin", now=now),
            gettext("is revoked"),
        )

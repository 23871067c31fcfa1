"""Rollouts in the admin: planned by a form, previewed, and steered on their own page by what is legal now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from central.admin_pages import ReadOnlyAdmin, actor_of, reach_of_request
from central.releases.models import bulky
from central.rollouts import admin_filters, admin_rows  # noqa: F401 - they register their pages
from central.rollouts.kept_preview import preview_kept
from central.rollouts.models import Assignment, AssignmentStatus, Rollout, RolloutStatus, Wave
from central.rollouts.plan_form import PlanForm, WaveForms, plan_initial, plan_read, waves_initial, waves_usual
from central.rollouts.preview import preview_within
from central.rollouts.preview_page import preview_parts, preview_regions, preview_rows
from central.rollouts.progress import RolloutProgress, rollout_progress
from central.rollouts.rollout_page import PREVIEWABLE, TONES, facts, page_plain, rows_chosen, school_row
from central.rollouts.services import rollout_create, rollout_replan
from central.rollouts.step_form import StepForm
from central.rollouts.steps import TAKES, WORDS, StepName, StepTaken, steps_legal
from central.rollouts.trail import rollout_trail
from central.rollouts.words import moment_words, target_words
from central.words import sentence
from federation.errors import FederationError

ROWS_A_PAGE = 50


@admin.register(Rollout)
class RolloutAdmin(ReadOnlyAdmin):
    """Rollouts, newest first."""

    list_display = (
        "__str__",
        "shown_target",
        "shown_status",
        "pause_reason",
        "created_by",
        "approved_by",
        "started_at",
    )
    list_filter = ("status", "kind")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rollout]:
        """Leave the releases' large fields where they are."""
        rows: QuerySet[Rollout] = super().get_queryset(request)
        return rows.select_related("release__base").defer(*bulky("release", "release__base"))

    def has_add_permission(self, request: HttpRequest, *_parent: Any) -> bool:  # noqa: ANN401 - Django's signature
        """Let whoever may add rollouts plan one."""
        return bool(request.user.has_perm("rollouts.add_rollout"))

    @admin.display(description=_("for"))
    def shown_target(self, rollout: Rollout) -> str:
        """Whom it is for, in words."""
        return target_words(rollout.target())

    @display(
        description=_("status"),
        ordering="status",
        label={status.label: TONES[status] for status in RolloutStatus if status in TONES},
    )
    def shown_status(self, rollout: Rollout) -> str:
        """The status in words."""
        return rollout.get_status_display()

    def get_urls(self) -> list[Any]:
        """Give each part of a rollout's page its address."""
        views = {"plan": self.plan_view, "preview": self.preview_view, "progress": self.progress_view}
        own = [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(view), name=f"rollouts_rollout_{name}")
            for name, view in views.items()
        ]
        step = self.admin_site.admin_view(self.step_view)
        return [*own, path("<int:pk>/step/<slug:name>/", step, name="rollouts_rollout_step"), *super().get_urls()]

    # Planning.

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:  # noqa: ANN401
        """Plan a rollout."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._plan(request, None)

    def plan_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Plan a draft anew."""
        rollout = self._seen(request, pk)
        if not self._may_plan(request, rollout):
            raise PermissionDenied
        return self._plan(request, rollout)

    def _plan(self, request: HttpRequest, draft: Rollout | None) -> HttpResponse:
        initial = plan_initial(draft) if draft else {}
        form = PlanForm(_sent(request), initial=initial, reach=reach_of_request(request))
        waves = WaveForms(_rows_asked(request), initial=waves_initial(draft) if draft else waves_usual())
        is_asked = request.method == "POST" and "more" not in request.POST
        if is_asked and form.is_valid() and waves.is_valid():
            planned = self._plan_keep(request, draft, form, waves)
            if planned is not None:
                return HttpResponseRedirect(reverse("admin:rollouts_rollout_preview", args=[planned.pk]))
        title = gettext("Change the plan") if draft else gettext("Plan a rollout")
        return self._page(request, "rollouts/plan.html", title=title, form=form, waves=waves, draft=draft)

    def _plan_keep(
        self, request: HttpRequest, draft: Rollout | None, form: PlanForm, waves: forms.BaseFormSet[Any]
    ) -> Rollout | None:
        plan, actor, now = plan_read(form, waves), actor_of(request), timezone.now()
        asked: dict[str, Any] = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
        try:
            if draft is None:
                return rollout_create(creator=actor, now=now, **asked)
            rollout_replan(rollout=draft, actor=actor, now=now, **asked)
        except FederationError as error:
            form.add_error(None, sentence(error.code, error.fields))
            return None
        return draft

    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show which school falls in which wave, and which in none and why."""
        rollout, now = self._seen(request, pk), timezone.now()
        if rollout.status not in PREVIEWABLE:
            return HttpResponseRedirect(reverse("admin:rollouts_rollout_change", args=[pk]))
        whole = preview_kept(rollout=rollout, is_turned=bool(request.GET), now=now)
        preview = preview_within(whole, reach_of_request(request).region)
        waves, reasons = preview_parts(preview)
        key = request.GET.get("part") or (waves[0].key if waves else "")
        asked = {"region": request.GET.get("region", ""), "search": request.GET.get("search", "")}
        rows = Paginator(preview_rows(preview, key=key, **asked), ROWS_A_PAGE)
        title = next((part.title for part in (*waves, *reasons) if part.key == key), "")
        return self._page(
            request,
            "rollouts/preview.html",
            title=gettext("Preview of %(rollout)s") % {"rollout": rollout},
            rollout=rollout,
            facts=facts(rollout),
            parts={"waves": waves, "reasons": reasons, "key": key, "title": title},
            drawn=moment_words(preview.drawn_at),
            asked=asked,
            regions=preview_regions(preview),
            rows=rows.get_page(request.GET.get("page")),
            steps=self._steps(request, rollout, _progress(request, rollout, now)),
            may_plan=self._may_plan(request, rollout),
        )

    # The rollout's own page.

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: Any = None,  # noqa: ANN401
    ) -> HttpResponse:
        """Show the rollout: its plan, waves, steps, schools and trail."""
        rollout, now = self._seen(request, object_id), timezone.now()
        progress = _progress(request, rollout, now)
        asked = {name: request.GET.get(name, "") for name in ("wave", "status", "search")}
        seen = self.admin_site._registry[Assignment].get_queryset(request)  # noqa: SLF001 - who may see which schools
        rows = Paginator(rows_chosen(seen.filter(rollout=rollout), **asked), ROWS_A_PAGE)
        page = rows.get_page(request.GET.get("page"))
        return self._page(
            request,
            "rollouts/rollout.html",
            title=str(rollout),
            rollout=rollout,
            facts=facts(rollout),
            shown=self._shown(request, rollout, progress, now),
            asked=asked,
            statuses=AssignmentStatus.choices,
            rows=page,
            schools=[school_row(each, rollout=rollout, now=now) for each in page],
            trail=rollout_trail(rollout, [each.wave for each in progress.waves]),
            may_plan=self._may_plan(request, rollout),
            may_preview=rollout.status in PREVIEWABLE,
        )

    def progress_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer what moves on the page, for the script that shows it without a reload."""
        rollout, now = self._seen(request, pk), timezone.now()
        return JsonResponse(self._shown(request, rollout, _progress(request, rollout, now), now))

    def step_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Say what a step will do, and take it."""
        rollout, now = self._seen(request, pk), timezone.now()
        progress = _progress(request, rollout, now)
        steps = self._steps(request, rollout, progress)
        chosen = next((each for each in steps if _is_step(each, name, request.GET.get("wave", ""))), None)
        back = HttpResponseRedirect(reverse("admin:rollouts_rollout_change", args=[pk]))
        if chosen is None:
            messages.error(request, gettext("That is not possible any more; look at the rollout as it stands now."))
            return back
        step, wave = chosen
        form = StepForm(_sent(request), step=step, initial={"failure_budget": progress.failed + 1})
        if request.method == "POST" and form.is_valid() and self._take(request, rollout, step, wave, form, now):
            return back
        words = WORDS[step]
        title = f"{gettext(words.label)}: {wave or rollout}"
        explanation = gettext(words.explanation)
        return self._page(
            request, "rollouts/step.html", title=title, explanation=explanation, form=form, rollout=rollout,
            label=gettext(words.label), is_dangerous=form.is_dangerous,
        )  # fmt: skip

    def _take(
        self,
        request: HttpRequest,
        rollout: Rollout,
        step: StepName,
        wave: Wave | None,
        form: StepForm,
        now: datetime,
    ) -> bool:
        taken = StepTaken(
            rollout=rollout,
            wave=wave,
            actor=actor_of(request),
            reason=form.reason_given,
            failure_budget=form.cleaned_data.get("failure_budget") or 0,
            now=now,
        )
        try:
            TAKES[step](taken)
        except FederationError as error:
            form.add_error(None, sentence(error.code, error.fields))
            return False
        messages.success(request, gettext(WORDS[step].done))
        return True

    def _seen(self, request: HttpRequest, pk: int | str) -> Rollout:
        """Return the rollout, if it is one that this person may see."""
        rollout: Rollout | None = self.get_object(request, str(pk))
        if rollout is None:
            raise Http404
        if not self.has_view_permission(request, rollout):
            raise PermissionDenied
        return rollout

    def _may_steer(self, request: HttpRequest, rollout: Rollout) -> bool:
        """Tell whether the person may steer this rollout, which is at hand."""
        return self.has_steer_permission(request) and reach_of_request(request).holds([rollout])

    def _may_plan(self, request: HttpRequest, rollout: Rollout) -> bool:
        return rollout.status == RolloutStatus.DRAFT and self._may_steer(request, rollout)

    def _steps(
        self, request: HttpRequest, rollout: Rollout, progress: RolloutProgress
    ) -> Sequence[tuple[StepName, Wave | None]]:
        if not self._may_steer(request, rollout):
            return ()
        waves = [each.wave for each in progress.waves]
        return steps_legal(
            rollout, waves=waves, actor=actor_of(request), failed=progress.failed, allowed=progress.allowed
        )

    def _shown(
        self, request: HttpRequest, rollout: Rollout, progress: RolloutProgress, now: datetime
    ) -> dict[str, Any]:
        return page_plain(rollout, progress, self._steps(request, rollout, progress), now=now)

    def _page(self, request: HttpRequest, template: str, **shown: Any) -> HttpResponse:  # noqa: ANN401 - a page's own
        context = {**self.admin_site.each_context(request), "opts": self.opts, **shown}
        return TemplateResponse(request, template, context)


def _progress(request: HttpRequest, rollout: Rollout, now: datetime) -> RolloutProgress:
    """Return how far the rollout has come, as far as the person sees."""
    return rollout_progress(rollout, now=now, reach=reach_of_request(request))


def _sent(request: HttpRequest) -> Any:  # noqa: ANN401 - Django's own type of a form's data
    """Return what was sent, which may be nothing at all, or None where a form is only asked for."""
    return request.POST if request.method == "POST" else None


def _rows_asked(request: HttpRequest) -> dict[str, Any] | None:
    """Return what the rows of waves were filled with, with one row more where that was asked for."""
    if request.method != "POST":
        return None
    asked = request.POST.copy()
    if "more" in asked:
        asked["form-TOTAL_FORMS"] = str(int(asked.get("form-TOTAL_FORMS", "0")) + 1)
    return asked


def _is_step(step: tuple[StepName, Wave | None], name: str, wave_pk: str) -> bool:
    return step[0].value == name and (str(step[1].pk) if step[1] else "") == wave_pk

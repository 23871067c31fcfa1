"""Updates in the admin: what each came to, why one stands apart, and what a person makes of it."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from central.admin_pages import ReadOnlyAdmin, actor_of, rows_act
from central.disk import centre_disk
from central.training.errors import UpdateOutlier
from central.training.judge_form import JudgeForm, Verdict
from central.training.judging import figures_beside, reasons_in_words
from central.training.models import Update, UpdateStatus
from central.training.quarantine import update_reject, update_release
from central.words import sentence
from federation.errors import FederationError
from federation.wire.canonical import from_plain
from federation.wire.rounds import LocalScores


@admin.display(description=_("norm"), ordering="norm")
def norm_rounded(update: Update) -> str:
    """Return the update's norm as a reader wants it."""
    return _rounded(update.norm)


@admin.display(description=_("loss before"), ordering="loss_before")
def loss_before_rounded(update: Update) -> str:
    """Return the update's loss before training as a reader wants it."""
    return _rounded(update.loss_before)


@admin.display(description=_("loss after"), ordering="loss_after")
def loss_after_rounded(update: Update) -> str:
    """Return the update's loss after training as a reader wants it."""
    return _rounded(update.loss_after)


@admin.display(description=_("does not count because"), ordering="code")
def why_set_aside(update: Update) -> str:
    """Return why the update does not count, in the reader's words; a dash where it counts."""
    if update.code == UpdateOutlier.code:
        return "; ".join(reasons_in_words(update))
    return sentence(update.code, {}) if update.code else "–"


@admin.display(description=_("scores on held-out labels"))
def scores_in_words(update: Update) -> str:
    """Return how the school's held-out labels fared before and after its training."""
    if not update.scores:
        return "–"
    scores = from_plain(LocalScores, update.scores)
    text = gettext(
        "%(labels)s labels: %(before)s nats a token before, %(after)s after; "
        "%(preferred_before)s of the corrections likelier than the answer before, %(preferred_after)s after"
    )
    return text % {
        "labels": scores.labels,
        "before": _rounded(scores.nats_before),
        "after": _rounded(scores.nats_after),
        "preferred_before": f"{scores.preferred_before:.0%}",
        "preferred_after": f"{scores.preferred_after:.0%}",
    }


def _rounded(figure: float | None) -> str:
    return "" if figure is None else number_format(figure, decimal_pos=3)


DONE = {Verdict.RELEASE: gettext_noop("counts again"), Verdict.REJECT: gettext_noop("is refused")}
"""What is told of an update once it is judged."""
UPDATE_FIELDS = (
    "node",
    "round",
    "status",
    why_set_aside,
    "shown_reasons",
    "shown_figures",
    "labels",
    "staleness",
    norm_rounded,
    loss_before_rounded,
    loss_after_rounded,
    scores_in_words,
    "variant",
    "plan",
    "counter",
    "size_bytes",
    "digest",
    "received_at",
)


@admin.register(Update)
class UpdateAdmin(ReadOnlyAdmin):
    """Updates, newest first; one in quarantine is judged on a page of its own, many at once from the list."""

    list_display = ("node", "round", "status", why_set_aside, "labels", "staleness", norm_rounded, "received_at")
    list_filter = ("status", "code", "node__school__region", "variant")
    list_select_related = ("node__school", "round__season")
    readonly_fields = (
        why_set_aside,
        "shown_reasons",
        "shown_figures",
        norm_rounded,
        loss_before_rounded,
        loss_after_rounded,
        scores_in_words,
    )
    actions = ("release", "reject")
    actions_detail = ("judge",)

    def get_fields(self, request: HttpRequest, obj: Update | None = None) -> Any:  # noqa: ANN401 - Django's signature
        """Tell once why an update stands apart, or else why it is refused."""
        idle = why_set_aside if obj and obj.figures.get("reasons") else "shown_reasons"
        return [field for field in UPDATE_FIELDS if field != idle]

    @admin.display(description=_("stands apart because"))
    def shown_reasons(self, update: Update) -> str:
        """The reasons in words."""
        return "; ".join(reasons_in_words(update))

    @admin.display(description=_("beside the others of its round"))
    def shown_figures(self, update: Update) -> SafeString:
        """The figures, each beside the middle of the others'."""
        return render_to_string("training/figures.html", {"figures": figures_beside(update)})

    @action(description=_("Decide"), url_path="judge", permissions=("judge",), icon="gavel")
    def judge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what is known of an update in quarantine, and take a person's word."""
        update: Update | None = self.get_object(request, object_id)
        if update is None:
            raise Http404
        if update.status != UpdateStatus.QUARANTINED:
            messages.error(request, gettext("That is decided already, or the school has withdrawn."))
            return redirect("admin:training_update_change", update.pk)
        form = JudgeForm(request.POST if request.method == "POST" else None)
        if form.is_valid() and self._judged(request, update, form):
            return redirect("admin:training_update_change", update.pk)
        shown = {"reasons": reasons_in_words(update), "figures": figures_beside(update), "form": form, "update": update}
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": str(update), **shown}
        return TemplateResponse(request, "training/judge.html", context)

    def _judged(self, request: HttpRequest, update: Update, form: JudgeForm) -> bool:
        verdict, reason = form.cleaned_data["verdict"], form.cleaned_data["reason"]
        try:
            _take(update, verdict, actor=actor_of(request), reason=reason, now=timezone.now())
        except FederationError as error:
            form.add_error(None, sentence(error.code, error.fields))
            return False
        messages.success(request, f"{update.node}: {gettext(DONE[verdict])}")
        return True

    @admin.action(description=_("Let count"), permissions=["judge"])
    def release(self, request: HttpRequest, queryset: QuerySet[Update]) -> None:
        """Let quarantined updates count."""
        self._each(request, queryset, Verdict.RELEASE)

    @admin.action(description=_("Refuse for good"), permissions=["judge"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Update]) -> None:
        """Refuse quarantined updates."""
        self._each(request, queryset, Verdict.REJECT)

    def _each(self, request: HttpRequest, queryset: QuerySet[Update], verdict: Verdict) -> None:
        actor, now = actor_of(request), timezone.now()
        call = partial(_take, verdict=verdict, actor=actor, reason="admin", now=now)
        rows_act(request, queryset, call, gettext(DONE[verdict]))

    def has_judge_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Let whoever may change updates judge those in quarantine."""
        return bool(request.user.has_perm("training.change_update"))

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> Any:  # noqa: ANN401 - unfold's signature
        """Offer to decide where there is something to decide."""
        update = self.get_object(request, str(object_id))
        is_waiting = update is not None and update.status == UpdateStatus.QUARANTINED
        return super().get_actions_detail(request, object_id) if is_waiting else []

    def get_actions(self, request: HttpRequest) -> Any:  # noqa: ANN401 - Django's signature
        """Offer the two while something is in quarantine."""
        actions = super().get_actions(request)
        if Update.objects.filter(status=UpdateStatus.QUARANTINED).exists():
            return actions
        return {name: action for name, action in actions.items() if name not in ("release", "reject")}


def _take(update: Update, verdict: Verdict, *, actor: str, reason: str, now: datetime) -> None:
    if verdict is Verdict.RELEASE:
        update_release(update=update, actor=actor, reason=reason, now=now)
    else:
        update_reject(update=update, disk=centre_disk(), actor=actor, reason=reason, now=now)

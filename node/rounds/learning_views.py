"""The page «Learning»: teachers see what this PC does and may stop it, the head says when it may learn."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from node.accounts import Role, has_role
from node.guards import person_of, teacher_required
from node.rounds.learning_settings import (
    LearningRuleRefused,
    learning_hours_write,
    learning_resume,
    learning_settings_read,
    learning_stop,
)
from node.rounds.learning_status import learning_status
from node.rounds.sentences import learning_sentence
from node.sentences import error_sentence


class HoursForm(forms.Form):
    """When this PC may learn; empty idle minutes: only between the two hours."""

    opens_at = forms.TimeField()
    closes_at = forms.TimeField()
    idle_minutes = forms.IntegerField(required=False)


class StopForm(forms.Form):
    """Why the learning is stopped."""

    reason = forms.CharField(required=False)


@require_http_methods(["GET", "POST"])
@teacher_required
def learning(request: HttpRequest) -> HttpResponse:
    """Show what the learning does, and keep the head's hours."""
    page: dict[str, Any] = {"settings": learning_settings_read(), "is_head": has_role(request.user, Role.HEAD)}
    if request.method == "POST":
        if not page["is_head"]:
            raise PermissionDenied
        try:
            _keep(HoursForm(request.POST))
            return redirect("learning")
        except LearningRuleRefused as error:
            page["problem"] = error_sentence(error)
    status = learning_status(root=settings.NODE_ROOT, now=timezone.now())
    page |= {"status": status, "sentence": learning_sentence(status)}
    return render(request, "node/learning.html", page)


@require_POST
@teacher_required
def stop(request: HttpRequest) -> HttpResponse:
    """Stop the learning on this PC until somebody lets it go on."""
    form = StopForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    learning_stop(reason=reason[:200], by=person_of(request).get_username(), now=timezone.now())
    return redirect("learning")


@require_POST
@teacher_required
def resume(request: HttpRequest) -> HttpResponse:
    """Let this PC learn again."""
    del request
    learning_resume()
    return redirect("learning")


def _keep(form: HoursForm) -> None:
    if not form.is_valid():
        field = next(iter(form.errors))
        raise LearningRuleRefused(field=field, value=form.data.get(field, ""))
    learning_hours_write(**form.cleaned_data)

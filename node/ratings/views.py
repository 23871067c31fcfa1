"""The teacher's doors: what waits for a rating, one answer with the form, and what will leave the school."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from node.accounts import is_teacher
from node.chat.models import Answer
from node.ratings.forms import OpinionForm
from node.ratings.models import Rating
from node.ratings.services import rating_preview, rating_record, rating_withdraw

ANSWERS_ON_A_PAGE = 20


def teacher_required(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let only teachers and the head through; others sign in or are told that they may not."""

    @login_required
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ANN401
        if not is_teacher(request.user):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded


def teacher_of(request: HttpRequest) -> User:
    """Return the signed-in teacher; only behind `teacher_required`."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


@require_GET
@teacher_required
def queue(request: HttpRequest) -> HttpResponse:
    """Show the answers that this teacher has not rated yet, newest first."""
    rated = Rating.objects.active().filter(teacher=teacher_of(request)).values("answer_id")
    answers = (
        Answer.objects.filter(status__in=[Answer.Status.FINISHED, Answer.Status.STOPPED])
        .exclude(release="")
        .exclude(pk__in=rated)
        .select_related("turn")
        .order_by("-finished_at")
    )
    page = Paginator(answers, ANSWERS_ON_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "node/queue.html", {"page": page})


@require_http_methods(["GET", "POST"])
@teacher_required
def rate(request: HttpRequest, answer_id: UUID) -> HttpResponse:
    """Show the form; after it, what would leave the school; after that is confirmed, keep and queue the rating."""
    answer = get_object_or_404(Answer.objects.select_related("turn").exclude(release=""), pk=answer_id)
    form = OpinionForm(request.POST) if request.method == "POST" else OpinionForm(initial=_initial(request, answer))
    if request.method == "GET" or request.POST.get("step") == "edit" or not form.is_valid():
        return render(request, "node/rate.html", {"answer": answer, "form": form})
    opinion = form.opinion()
    if request.POST.get("step") != "send":
        outgoing = rating_preview(answer=answer, opinion=opinion)
        return render(request, "node/preview.html", {"answer": answer, "form": form, "outgoing": outgoing})
    rating_record(
        answer=answer, teacher=teacher_of(request), opinion=opinion, now=timezone.now(), root=settings.NODE_ROOT
    )
    messages.success(request, _("Thank you. The rating is saved and waits for the next contact with the centre."))
    return redirect("corrections" if opinion.correction else "queue")


@require_POST
@teacher_required
def withdraw(request: HttpRequest, record_id: str) -> HttpResponse:
    """Take one's own rating back."""
    rating = get_object_or_404(Rating.objects.active(), record_id=record_id, teacher=teacher_of(request))
    rating_withdraw(rating=rating, now=timezone.now())
    messages.success(request, _("The rating is withdrawn. The centre will hear of it at the next contact."))
    return redirect("corrections")


def _initial(request: HttpRequest, answer: Answer) -> dict[str, object]:
    rating = Rating.objects.active().filter(answer=answer, teacher=teacher_of(request)).first()
    if rating is None:
        return {"correction": answer.text}
    return {
        "stars": rating.stars,
        "reasons": rating.reasons,
        "correction": rating.correction or answer.text,
        "subject": rating.subject,
        "grade": rating.grade,
    }

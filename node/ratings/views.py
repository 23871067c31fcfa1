"""The teacher's doors: what is worth rating, one tap, one answer with the form, and what leaves the school when."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from node.chat.models import Answer
from node.chat.pitch import Lesson
from node.chat.services import Asker, Where, question_ask
from node.guards import person_of, teacher_required
from node.people.models import Pupil, SchoolClass
from node.ratings.forms import OpinionForm
from node.ratings.models import Rating
from node.ratings.queue import class_read, queue_read
from node.ratings.services import (
    RatingRefused,
    rating_preview,
    rating_record,
    rating_send,
    rating_tap,
    rating_withdraw,
)
from node.ratings.visible import answers_visible

ANSWERS_ON_A_PAGE = 20
MOST_REVISION_DIGITS = 10


@require_GET
@teacher_required
def queue(request: HttpRequest) -> HttpResponse:
    """Show the answers that this teacher has not rated yet, those first that are most worth it."""
    teacher = person_of(request)
    page = Paginator(queue_read(teacher=teacher, now=timezone.now()), ANSWERS_ON_A_PAGE).get_page(
        request.GET.get("page")
    )
    answers = Answer.objects.select_related("turn").in_bulk([urgent.answer_id for urgent in page])
    rows = [(answers[urgent.answer_id], urgent) for urgent in page]
    held = Rating.objects.held().filter(teacher=teacher).count()
    return render(request, "node/queue.html", {"page": page, "rows": rows, "held": held})


@require_POST
@teacher_required
def tap(request: HttpRequest, answer_id: UUID) -> HttpResponse:
    """Rate an answer good or bad; it stays at the school until the teacher has seen what would be sent."""
    teacher = person_of(request)
    answer = get_object_or_404(answers_visible(teacher), pk=answer_id)
    is_good = request.POST.get("good") == "1"
    is_htmx = bool(getattr(request, "htmx", False))
    form = reverse("rate", args=[answer_id])
    try:
        rating = rating_tap(
            answer=answer, teacher=teacher, is_good=is_good, now=timezone.now(), root=settings.NODE_ROOT
        )
    except RatingRefused:
        # It was sent, so that a change is looked at before it follows.
        return HttpResponse(headers={"HX-Redirect": form}) if is_htmx else redirect(form)
    return render(request, "node/rating_bar.html", {"answer": answer, "rating": rating}) if is_htmx else redirect(form)


@require_http_methods(["GET", "POST"])
@teacher_required
def rate(request: HttpRequest, answer_id: UUID) -> HttpResponse:
    """Show the form; after it, what would leave the school; after that is confirmed, keep and queue the rating."""
    answer = get_object_or_404(answers_visible(person_of(request)), pk=answer_id)
    form = OpinionForm(request.POST) if request.method == "POST" else OpinionForm(initial=_initial(request, answer))
    step = request.POST.get("step")
    if request.method == "GET" or step == "edit" or not form.is_valid():
        return render(request, "node/rate.html", {"answer": answer, "form": form})
    opinion = form.opinion()
    if step not in ("send", "keep"):
        outgoing = rating_preview(answer=answer, opinion=opinion)
        return render(request, "node/preview.html", {"answer": answer, "form": form, "outgoing": outgoing})
    is_held = step == "keep"
    rating_record(
        answer=answer,
        teacher=person_of(request),
        opinion=opinion,
        now=timezone.now(),
        root=settings.NODE_ROOT,
        is_held=is_held,
    )
    messages.success(
        request,
        _("Thank you. The rating is saved and stays at the school.")
        if is_held
        else _("Thank you. The rating is saved and waits for the next contact with the centre."),
    )
    return redirect("corrections" if opinion.correction else "queue")


@require_http_methods(["GET", "POST"])
@teacher_required
def outgoing(request: HttpRequest) -> HttpResponse:
    """Show word for word what is held; send those that the teacher was shown and chose."""
    teacher = person_of(request)
    if request.method == "POST":
        sent = sum(_send(request, named) for named in request.POST.getlist("rating")[:ANSWERS_ON_A_PAGE])
        if sent:
            messages.success(request, _("Ratings that wait for the next contact now: %(count)d.") % {"count": sent})
        else:
            messages.error(request, _("Nothing was sent: the rating has changed meanwhile. Please look at it again."))
        return redirect("outgoing")
    held = Rating.objects.held().filter(teacher=teacher)
    page = Paginator(held, ANSWERS_ON_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "node/outgoing.html", {"page": page})


@require_POST
@teacher_required
def withdraw(request: HttpRequest, record_id: str) -> HttpResponse:
    """Take one's own rating back."""
    rating = get_object_or_404(Rating.objects.active(), record_id=record_id, teacher=person_of(request))
    rating_withdraw(rating=rating, now=timezone.now())
    messages.success(request, _("The rating is withdrawn. The centre will hear of it at the next contact."))
    return redirect("corrections")


@require_POST
@teacher_required
def ask_again(request: HttpRequest, record_id: str) -> HttpResponse:
    """Ask the model once more what the teacher corrected, in a conversation of the teacher's own."""
    teacher = person_of(request)
    rating = get_object_or_404(
        Rating.objects.active().select_related("answer__turn"), record_id=record_id, teacher=teacher
    )
    turn = question_ask(
        asker=Asker(person_id=teacher.pk, session_key=""),
        where=Where(),
        question=rating.answer.turn.question,
        lesson=Lesson(subject=rating.answer.turn.subject, grade=rating.answer.turn.grade),
        now=timezone.now(),
    )
    return redirect("conversation", turn.conversation_id)


@require_GET
@teacher_required
def class_view(request: HttpRequest, class_id: int) -> HttpResponse:
    """Show what a class asks about, and which answers to it teachers found bad."""
    school_class = get_object_or_404(SchoolClass.objects.taught_by(person_of(request)), pk=class_id)
    page = {"school_class": school_class, "view": class_read(school_class=school_class, now=timezone.now())}
    return render(request, "node/class_view.html", page)


def _send(request: HttpRequest, named: str) -> bool:
    record_id, _colon, revision = named.partition(":")
    if not (revision.isascii() and revision.isdecimal() and len(revision) < MOST_REVISION_DIGITS):
        return False
    try:
        rating_send(
            record_id=record_id,
            revision=int(revision),
            teacher=person_of(request),
            now=timezone.now(),
            root=settings.NODE_ROOT,
        )
    except RatingRefused:
        return False
    return True


def _initial(request: HttpRequest, answer: Answer) -> dict[str, object]:
    rating = Rating.objects.active().filter(answer=answer, teacher=person_of(request)).first()
    if rating is None:
        pupil = Pupil.objects.filter(person=answer.turn.conversation.person_id).select_related("school_class").first()
        return {"correction": answer.text, "grade": pupil.school_class.grade if pupil else 0}
    return {
        "stars": rating.stars,
        "reasons": rating.reasons,
        "correction": rating.correction or answer.text,
        "subject": rating.subject,
        "grade": rating.grade,
        "masked_words": "\n".join(rating.masked_words),
    }

"""The page «Textbooks» for teachers and the head, and the page on which a citation opens, for everybody who may ask."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRefresh

from federation.errors import FederationError
from node.guards import teacher_required
from node.sentences import error_sentence
from node.subjects import Subject
from node.textbooks.errors import TextbookRefused
from node.textbooks.finding import passages_search
from node.textbooks.launch import is_reading, reading_launch
from node.textbooks.models import TITLE_CHARACTERS, Passage, Textbook
from node.textbooks.services import (
    LAST_GRADE,
    About,
    Upload,
    textbook_add,
    textbook_change,
    textbook_delete,
    textbook_read_on,
    textbook_stop,
)
from node.textbooks.shelf import MOST_FILE_BYTES

MOST_FOUND = 5
MOST_GRADE_DIGITS = 2


@require_GET
@teacher_required
@never_cache
def textbooks(request: HttpRequest) -> HttpResponse:
    """Show the books, and what is found in them for words that a teacher tries."""
    sought = request.GET.get("q", "").strip()
    found = passages_search(text=sought, most=MOST_FOUND) if sought else []
    return _list(request, {"sought": sought, "found": found})


@require_GET
@teacher_required
@never_cache
def progress(request: HttpRequest) -> HttpResponse:
    """Show how far the reading is."""
    page = _shelf()
    if getattr(request, "htmx", False) and not page["is_under_way"]:
        # What the search finds and the page offers has changed with the last book.
        return HttpResponseClientRefresh()
    return render(request, "node/textbook_list.html", page)


@require_POST
@teacher_required
def add(request: HttpRequest) -> HttpResponse:
    """Take a book in and have it read."""
    about = _about(request)
    try:
        added = textbook_add(about=about, upload=_upload(request), root=settings.NODE_ROOT, now=timezone.now())
    except FederationError as error:
        return _list(request, {"problem": error_sentence(error), "about": about}, status=422)
    if added.is_new:
        reading_launch(root=settings.NODE_ROOT)
        messages.success(request, _("The book is here and will be read now."))
    else:
        messages.success(
            request,
            _("This very file is here already, as “%(title)s”; nothing was added.") % {"title": added.textbook.title},
        )
    return redirect("textbooks")


@require_GET
@teacher_required
@never_cache
def textbook(request: HttpRequest, number: int) -> HttpResponse:
    """Show one book with what can be done with it."""
    return _one(request, get_object_or_404(_counted(), pk=number))


@require_POST
@teacher_required
def change(request: HttpRequest, number: int) -> HttpResponse:
    """Tell other things of a book, and replace its file if one was chosen."""
    book = get_object_or_404(_counted(), pk=number)
    upload = _upload(request) if request.FILES.get("file") else None
    try:
        has_file = textbook_change(textbook=book, about=_about(request), upload=upload, root=settings.NODE_ROOT)
    except FederationError as error:
        return _one(request, book, problem=error_sentence(error), status=422)
    if has_file:
        reading_launch(root=settings.NODE_ROOT)
    messages.success(request, _("The book is changed."))
    return redirect("textbooks")


@require_POST
@teacher_required
def delete(request: HttpRequest, number: int) -> HttpResponse:
    """Take a book away."""
    textbook_delete(textbook=get_object_or_404(Textbook, pk=number), root=settings.NODE_ROOT)
    messages.success(request, _("The book is gone. Answers that cite it stay, and say so."))
    return redirect("textbooks")


@require_POST
@teacher_required
def stop(request: HttpRequest, number: int) -> HttpResponse:
    """End the reading of a book."""
    del request
    textbook_stop(textbook=get_object_or_404(Textbook, pk=number))
    return redirect("textbooks")


@require_POST
@teacher_required
def read(request: HttpRequest, number: int) -> HttpResponse:
    """Have a book read whose reading was stopped or cut."""
    del request
    textbook_read_on(textbook=get_object_or_404(Textbook, pk=number))
    reading_launch(root=settings.NODE_ROOT)
    return redirect("textbooks")


@require_GET
def passage(request: HttpRequest, number: int) -> HttpResponse:
    """Show a passage of a book with what stands before and after it."""
    shown = Passage.objects.select_related("textbook").filter(pk=number).first()
    if shown is None:
        return render(request, "node/passage_gone.html", status=404)
    beside = {
        each.place: each
        for each in Passage.objects.filter(textbook=shown.textbook_id, place__in=[shown.place - 1, shown.place + 1])
    }
    page = {"passage": shown, "before": beside.get(shown.place - 1), "after": beside.get(shown.place + 1)}
    return render(request, "node/passage.html", page)


def _list(request: HttpRequest, page: dict[str, object], *, status: int = 200) -> HttpResponse:
    return render(request, "node/textbooks.html", _shelf() | _choices() | page, status=status)


def _one(request: HttpRequest, book: Textbook, *, problem: str = "", status: int = 200) -> HttpResponse:
    page = {"book": book, "about": book, "problem": problem}
    return render(request, "node/textbook.html", _choices() | page, status=status)


def _shelf() -> dict[str, object]:
    books = list(_counted().order_by("grade", "title", "pk"))
    is_under_way = any(book.is_under_way for book in books)
    return {
        "books": books,
        "is_under_way": is_under_way,
        "is_reading": is_under_way and is_reading(settings.NODE_ROOT),
    }


def _counted() -> QuerySet[Textbook]:
    return Textbook.objects.annotate(passage_count=Count("passages"))


def _choices() -> dict[str, object]:
    return {
        "subjects": Subject.choices,
        "grades": range(1, LAST_GRADE + 1),
        "most_bytes": MOST_FILE_BYTES,
        "title_characters": TITLE_CHARACTERS,
    }


def _about(request: HttpRequest) -> About:
    grade = request.POST.get("grade") or "0"
    is_number = grade.isdecimal() and len(grade) <= MOST_GRADE_DIGITS
    return About(
        title=request.POST.get("title", ""),
        subject=request.POST.get("subject", ""),
        grade=int(grade) if is_number else -1,
    )


def _upload(request: HttpRequest) -> Upload:
    given = request.FILES.get("file")
    if given is None:
        raise TextbookRefused(reason="file")
    return Upload(content=given.chunks(), size_bytes=given.size or 0)

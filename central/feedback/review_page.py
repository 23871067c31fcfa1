"""The page on which a reviewer judges ratings one after the other.

A door: it reads the form, calls one service of `review`, and goes on to the next rating. The queue's address says which
ratings it holds and behind which one it goes on, so a page can be bookmarked and reloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from central.admin_pages import actor_of
from central.feedback.models import Rating, RatingQuerySet, RatingTrend, TrendOf
from central.feedback.review import rating_accept, rating_erase, rating_mask, rating_next, rating_reject
from central.words import sentence
from federation.errors import FederationError

MOST_WAITING_COUNTED = 1000
MOST_COLLEAGUES = 5
LONGEST = 20_000


class QueueForm(forms.Form):
    """Which ratings the queue holds, and behind which one it goes on."""

    kind = forms.ChoiceField(choices=[("corrections", _("corrections")), ("stars", _("stars alone"))], required=False)
    subject = forms.CharField(max_length=120, required=False)
    after = forms.IntegerField(min_value=0, required=False)


class ReviewForm(forms.Form):
    """What the reviewer makes of the rating on the page."""

    rating = forms.IntegerField(widget=forms.HiddenInput)
    revision = forms.IntegerField(widget=forms.HiddenInput)
    correction = forms.CharField(
        label=_("correction"), required=False, max_length=LONGEST, widget=UnfoldAdminTextareaWidget(attrs={"rows": 5})
    )
    question = forms.CharField(
        label=_("question"), required=False, max_length=LONGEST, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )
    answer = forms.CharField(
        label=_("answer"), required=False, max_length=LONGEST, widget=UnfoldAdminTextareaWidget(attrs={"rows": 5})
    )
    decision = forms.ChoiceField(choices=[(name, name) for name in ("accept", "reject", "mask", "erase")])


def review_answer(request: HttpRequest, ratings: RatingQuerySet) -> HttpResponse:
    """Answer the next of the `ratings` that the person may judge; after a judgement, go on to the one behind it."""
    queue = QueueForm(request.GET)
    chosen = queue.cleaned_data if queue.is_valid() else {}
    kind, subject = chosen.get("kind") or "corrections", chosen.get("subject") or ""
    after = chosen.get("after") or 0
    if request.method == "POST":
        return HttpResponseRedirect(_address(kind, subject, _judge(request, ratings, after)))
    waiting = _waiting(ratings, kind, subject)
    rating = rating_next(ratings=waiting, after=after)
    page = {
        **admin.site.each_context(request),
        "title": gettext("Review of ratings"),
        "rating": rating,
        "form": _form_of(rating) if rating else None,
        "colleagues": _colleagues(ratings, rating) if rating else [],
        "waiting": _count_words(waiting),
        "queues": [(word, _address(name, subject, 0), name == kind) for name, word in _KINDS.items()],
        "subjects": _subjects(kind, subject),
        "skip": _address(kind, subject, rating.pk) if rating else "",
        "from_start": _address(kind, subject, 0) if after else "",
    }
    return TemplateResponse(request, "feedback/review.html", page)


_KINDS: Mapping[str, Any] = {"corrections": _("corrections"), "stars": _("stars alone")}


def _waiting(ratings: RatingQuerySet, kind: str, subject: str) -> RatingQuerySet:
    waiting = ratings.waiting()
    waiting = waiting.filter(correction="") if kind == "stars" else waiting.exclude(correction="")
    return waiting.filter(subject=subject) if subject else waiting


def _judge(request: HttpRequest, ratings: RatingQuerySet, after: int) -> int:
    """Do what the form asks; return behind which rating the queue goes on."""
    form = ReviewForm(request.POST)
    if not form.is_valid():
        messages.error(request, gettext("The form came incomplete; nothing was changed."))
        return after
    said = form.cleaned_data
    rating = get_object_or_404(ratings, pk=said["rating"])
    call, done = _DECISIONS[said["decision"]]
    try:
        call(rating, said, actor_of(request), timezone.now())
    except FederationError as error:
        messages.error(request, sentence(error.code, error.fields))
        return after
    messages.success(request, f"{rating}: {done}")
    return int(rating.pk)


def _accept(rating: Rating, said: dict[str, Any], actor: str, now: datetime) -> None:
    rating_accept(rating=rating, revision=said["revision"], correction=said["correction"], actor=actor, now=now)


def _reject(rating: Rating, said: dict[str, Any], actor: str, now: datetime) -> None:
    rating_reject(rating=rating, revision=said["revision"], actor=actor, now=now)


def _mask(rating: Rating, said: dict[str, Any], actor: str, now: datetime) -> None:
    words = {name: said[name] for name in ("question", "answer", "correction")}
    rating_mask(rating=rating, revision=said["revision"], actor=actor, now=now, **words)


def _erase(rating: Rating, said: dict[str, Any], actor: str, now: datetime) -> None:
    rating_erase(rating=rating, revision=said["revision"], actor=actor, now=now)


_DECISIONS: Mapping[str, tuple[Callable[[Rating, dict[str, Any], str, datetime], None], Any]] = {
    "accept": (_accept, _("accepted")),
    "reject": (_reject, _("rejected")),
    "mask": (_mask, _("masked and accepted")),
    "erase": (_erase, _("its words are erased")),
}


def _form_of(rating: Rating) -> ReviewForm:
    words = {name: getattr(rating, name) for name in ("revision", "correction", "question", "answer")}
    return ReviewForm(initial={"rating": rating.pk, **words})


def _colleagues(ratings: RatingQuerySet, rating: Rating) -> list[Rating]:
    """Return what others have said of the same answer to the same question."""
    same = ratings.with_words().filter(turn_key=rating.turn_key).exclude(turn_key="").exclude(pk=rating.pk)
    return list(same.select_related("node__school").order_by("pk")[:MOST_COLLEAGUES])


def _count_words(waiting: RatingQuerySet) -> str:
    count = waiting.order_by()[: MOST_WAITING_COUNTED + 1].count()
    return (
        str(count)
        if count <= MOST_WAITING_COUNTED
        else gettext("more than %(count)s") % {"count": MOST_WAITING_COUNTED}
    )


def _subjects(kind: str, chosen: str) -> list[tuple[str, str, bool]]:
    """Return the subjects by which the queue may be narrowed: words, address, and whether it is the one in force."""
    met = RatingTrend.objects.filter(trend_of=TrendOf.SUBJECT).exclude(value="").order_by("value")
    names = sorted({*met.values_list("value", flat=True), *filter(None, [chosen])})
    return [(gettext("all"), _address(kind, "", 0), not chosen)] + [
        (name, _address(kind, name, 0), name == chosen) for name in names
    ]


def _address(kind: str, subject: str, after: int) -> str:
    words = {"kind": kind, "subject": subject, "after": after}
    return "?" + urlencode({name: value for name, value in words.items() if value})

"""The page «USB stick»: bring in what the courier's stick has, write on it what the school has to say."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRefresh

from federation.errors import FederationError
from federation.trust.stick_disk import StickDisk
from node.accounts import is_teacher
from node.media import media_here
from node.sentences import error_sentence, sentence_of
from node.stick.enrolment import claim_keep
from node.stick.launch import trip_launch
from node.stick.models import StickTrip
from node.stick.outcomes import BroughtIn
from node.stick.sentences import brought_in_sentences, written_out_sentences
from node.stick.services import outcome_read, trip_begin, trip_newest
from node.sync.claim import Claim, is_claim_kept
from node.sync.errors import ContactUnderWay
from node.sync.locks import is_stick_waiting


@require_GET
@login_required
@never_cache
def stick(request: HttpRequest) -> HttpResponse:
    """Show the sticks that are there, and how the last trip went."""
    _teacher_expect(request)
    return _page(request)


@require_GET
@login_required
@never_cache
def progress(request: HttpRequest) -> HttpResponse:
    """Show how far the newest trip is."""
    _teacher_expect(request)
    context = _trip_context()
    if getattr(request, "htmx", False) and not context["is_running"]:
        # What else the page offers has changed with the trip: the school may have enrolled.
        return HttpResponseClientRefresh()
    return render(request, "node/stick_trip.html", context)


@require_POST
@login_required
def start(request: HttpRequest) -> HttpResponse:
    """Begin a trip with one of the sticks that are there."""
    _teacher_expect(request)
    root, way = settings.NODE_ROOT, request.POST.get("way", "")
    places = {str(medium.place): medium.place for medium in media_here()}
    place = places.get(request.POST.get("place", ""))
    if place is None or way not in StickTrip.Way.values:
        raise Http404
    try:
        if is_stick_waiting(root):
            raise ContactUnderWay
        if way == StickTrip.Way.WRITE_OUT and request.POST.get("code"):
            _claim_take(request, root, place)
    except FederationError as error:
        return _page(request, problem=error_sentence(error))
    trip = trip_begin(way=StickTrip.Way(way), place=place, now=timezone.now())
    trip_launch(root=root, trip=trip)
    return redirect("stick")


def _claim_take(request: HttpRequest, root: Path, place: Path) -> None:
    disk = StickDisk(place)
    disk.open()
    claim = Claim(code=request.POST["code"][:40], root_sha256=request.POST.get("root_sha256", "")[:100])
    claim_keep(root=root, disk=disk, claim=claim)


def _page(request: HttpRequest, *, problem: str = "") -> HttpResponse:
    root: Path = settings.NODE_ROOT
    is_enrolled, has_claim = (root / "node.json").exists(), is_claim_kept(root)
    page = {
        "media": media_here(),
        "problem": problem,
        "is_enrolled": is_enrolled,
        "has_claim": has_claim,
    }
    return render(request, "node/stick.html", page | _trip_context())


def _trip_context() -> dict[str, object]:
    trip = trip_newest(root=settings.NODE_ROOT, now=timezone.now())
    is_running = trip is not None and trip.status == StickTrip.Status.RUNNING
    return {"trip": trip, "is_running": is_running, "lines": _lines(trip) if trip else []}


def _lines(trip: StickTrip) -> list[str]:
    if trip.status == StickTrip.Status.FAILED:
        return [sentence_of(trip.error_code, trip.error_fields)]
    if trip.status == StickTrip.Status.RUNNING:
        return []
    outcome = outcome_read(trip)
    return brought_in_sentences(outcome) if isinstance(outcome, BroughtIn) else written_out_sentences(outcome)


def _teacher_expect(request: HttpRequest) -> None:
    if not is_teacher(request.user):
        raise PermissionDenied

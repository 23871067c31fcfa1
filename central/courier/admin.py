"""Sticks in the admin: write one for a region or for schools, take one in that came back, and see each trip."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from central.admin_pages import ReadOnlyAdmin, actor_of, reach_of_request
from central.courier.cargo import nodes_of
from central.courier.forms import StickReadForm, StickWriteForm
from central.courier.models import RefusedRequest, Trip
from central.courier.returns_file import returns_open, returns_unzip
from central.courier.services import stick_import, stick_pack
from central.disk import centre_disk
from central.streams import download_answer
from central.trust_root import director_key
from central.words import sentence
from federation.errors import FederationError

ZIP_NAME = "soro-stick.zip"


@admin.register(Trip)
class TripAdmin(ReadOnlyAdmin):
    """Every writing and reading of a stick."""

    list_display = ("at", "kind", "place", "schools", "files", "problems_count")
    list_filter = ("kind",)
    exclude = ("problems",)
    readonly_fields = ("shown_problems",)
    actions_list = ("write", "take_in")

    @admin.display(description=_("not taken"))
    def problems_count(self, trip: Trip) -> str:
        """How many files counted for nothing, and why the reading ended early where it did."""
        count = str(len(trip.problems))
        return f"{count} · {sentence(trip.code, {})}" if trip.code else count

    @admin.display(description=_("not taken"))
    def shown_problems(self, trip: Trip) -> str:
        """Each file that counted for nothing, with its school and why."""
        rows = [
            (problem["school"] or problem["sender"][:12], problem["kind"], sentence(problem["code"], {}))
            for problem in trip.problems
        ]
        return format_html_join("", "<p>{} · {}: {}</p>", rows) or "—"

    def has_write_permission(self, request: HttpRequest) -> bool:
        """Let whoever may add trips write and read sticks."""
        return bool(request.user.has_perm("courier.add_trip"))

    @action(description=_("Write a stick for schools"), url_path="write", permissions=["write"])
    def write(self, request: HttpRequest) -> HttpResponseBase:
        """Ask for whom, and answer with a ZIP file to unpack on the stick."""
        chosen = request.GET.get("schools", "")
        initial = {"schools": [int(word) for word in chosen.split(",") if word.isdecimal()]}
        reach = reach_of_request(request)
        form = StickWriteForm(request.POST or None, initial=initial, reach=reach)
        if request.method != "POST" or not form.is_valid():
            return self._page(
                request,
                form,
                title=gettext("Write a stick for schools"),
                explanation=gettext("Unpack the ZIP file on the stick, so that the folder «soro» lies at its top."),
                button=gettext("Make the ZIP file"),
            )
        try:
            regions, schools = form.cleaned_data["regions"], form.cleaned_data["schools"]
            nodes = reach.rows(nodes_of(regions=regions, schools=[school.name for school in schools]))
            pieces = stick_pack(
                nodes=nodes, disk=centre_disk(), key=director_key(), actor=actor_of(request), now=timezone.now()
            )
        except FederationError as error:
            messages.error(request, sentence(error.code, error.fields))
            return HttpResponseRedirect(request.path)
        return download_answer(request, pieces, content_type="application/zip", name=ZIP_NAME)

    @action(description=_("Take a stick in"), url_path="take-in", permissions=["write"])
    def take_in(self, request: HttpRequest) -> HttpResponse:
        """Take in what schools have written, from a ZIP file or a mounted stick."""
        form = StickReadForm(request.POST or None, request.FILES or None)
        if request.method != "POST" or not form.is_valid():
            return self._page(
                request,
                form,
                title=gettext("Take a stick in"),
                explanation=gettext("What was taken in before counts once, however often it comes."),
                button=gettext("Take it in"),
            )
        packed = form.cleaned_data["packed"]
        try:
            with returns_unzip(packed.file) if packed else returns_open(form.chosen_place) as source:
                trip = stick_import(
                    source=source,
                    place=packed.name if packed else str(form.chosen_place),
                    disk=centre_disk(),
                    actor=actor_of(request),
                    now=timezone.now(),
                )
        except FederationError as error:
            messages.error(request, sentence(error.code, error.fields))
            return HttpResponseRedirect(request.path)
        self._tell(request, trip)
        return HttpResponseRedirect(reverse("admin:courier_trip_change", args=[trip.pk]))

    def _page(self, request: HttpRequest, form: Any, **words: str) -> HttpResponse:  # noqa: ANN401 - either form
        context = {**self.admin_site.each_context(request), "opts": self.model._meta, "form": form, **words}  # noqa: SLF001
        return render(request, "schools/form_page.html", context)

    def _tell(self, request: HttpRequest, trip: Trip) -> None:
        counts = {"files": trip.files, "schools": trip.schools, "problems": len(trip.problems)}
        text = gettext("Taken in: %(files)d letters of %(schools)d schools; not taken: %(problems)d.") % counts
        (messages.warning if trip.problems or trip.code else messages.success)(request, text)
        if trip.code:
            messages.error(request, sentence(trip.code, {}))


@admin.register(RefusedRequest)
class RefusedRequestAdmin(ReadOnlyAdmin):
    """Requests to enrol that came by stick and were refused; their answers go on the next sticks."""

    list_display = ("received_at", "hostname", "code", "key_id")

"""The page «The app on telephones»: the head's switch, and for everybody how a telephone comes to trust this PC."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from federation.errors import FederationError
from federation.ports import is_loopback
from node.accounts import Role, has_role
from node.guards import head_required, open_to_guests, person_of
from node.https import services
from node.https.door import DoorReport, door_report
from node.https.here import clock_of_here, names_of_here
from node.https.names import PcNames
from node.sentences import code_sentence, error_sentence


@require_GET
@open_to_guests
@never_cache
def telephones(request: HttpRequest) -> HttpResponse:
    """Show the steps while the door is wanted; to the head the switch at any time."""
    if not services.is_switched_on(settings.NODE_ROOT) and not has_role(request.user, Role.HEAD):
        raise Http404
    return _page(request)


@require_GET
@open_to_guests
def certificate(request: HttpRequest) -> HttpResponse:
    """Give the certificate that a telephone is to trust."""
    del request
    authority = services.authority_read(settings.NODE_ROOT) if services.is_switched_on(settings.NODE_ROOT) else None
    if authority is None:
        raise Http404
    content = authority.root.public_bytes(Encoding.DER)
    headers = {"Content-Disposition": 'attachment; filename="soro.crt"', "Cache-Control": "no-store"}
    return HttpResponse(content, content_type="application/x-x509-ca-cert", headers=headers)


@require_POST
@head_required
def switch(request: HttpRequest) -> HttpResponse:
    """Have the page served over HTTPS, or no more."""
    root, now, by = settings.NODE_ROOT, timezone.now(), person_of(request).get_username()
    if request.POST.get("on") != "1":
        services.switch_off(root=root, by=by, now=now)
        return redirect("telephones")
    report = door_report(root)
    names = names_of_here(report.host if report else "")
    try:
        services.switch_on(root=root, names=names, clock=clock_of_here(root, now), by=by)
    except FederationError as error:
        return _page(request, problem=error_sentence(error))
    return redirect("telephones")


@require_POST
@head_required
def forget(request: HttpRequest) -> HttpResponse:
    """Throw the authority's key away."""
    try:
        services.authority_forget(root=settings.NODE_ROOT, by=person_of(request).get_username())
    except FederationError as error:
        return _page(request, problem=error_sentence(error))
    return redirect("telephones")


def _page(request: HttpRequest, *, problem: str = "") -> HttpResponse:
    root, report = settings.NODE_ROOT, door_report(settings.NODE_ROOT)
    page: dict[str, Any] = {
        "switch": services.switch_read(root),
        "is_on": services.is_switched_on(root),
        "is_open": report is not None and report.is_open,
        "is_for_this_pc_alone": report is not None and is_loopback(report.host),
        "problem": problem or (code_sentence(report.code) if report and report.code else ""),
    }
    try:
        page["authority"] = authority = services.authority_read(root)
    except FederationError as error:
        return render(request, "node/telephones.html", page | {"problem": error_sentence(error), "is_damaged": True})
    if authority is not None and report is not None:
        page |= _where(authority.names, report)
    return render(request, "node/telephones.html", page)


def _where(names: PcNames, report: DoorReport) -> dict[str, Any]:
    """Return by which addresses telephones come, and which of this PC's the authority cannot vouch for."""
    here = names_of_here(report.host).addresses
    reached = [address for address in names.addresses if address in here]
    return {
        "addresses": [f"https://{host}:{report.port}/" for host in (*names.dns, *reached)],
        "is_elsewhere": bool(here) and not reached,
        "vouched": ", ".join((*names.dns, *names.addresses)),
        "here": ", ".join(here),
    }

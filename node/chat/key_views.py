"""The page «API keys»: a teacher or the head makes a key for a program, sees it once, and revokes it."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from node.accounts import Role, has_role, is_teacher
from node.chat.api_keys import MAX_NAME_CHARACTERS, ApiKeyMissing, ApiKeyRefused, api_key_create, api_key_revoke
from node.chat.models import ApiKey
from node.sentences import error_sentence


@require_http_methods(["GET", "POST"])
@login_required
@never_cache
def keys(request: HttpRequest) -> HttpResponse:
    """Show the keys in force; after a new one is made, it too, this once."""
    person_id, is_head = _person(request)
    page: dict[str, object] = {"most": MAX_NAME_CHARACTERS, "is_head": is_head}
    if request.method == "POST":
        try:
            name = request.POST.get("name", "")
            page["fresh"] = api_key_create(username=request.user.get_username(), name=name, now=timezone.now())
        except ApiKeyRefused as error:
            page["problem"] = error_sentence(error)
    page["keys"] = ApiKey.objects.seen_by(person_id=person_id, is_head=is_head)
    return render(request, "node/keys.html", page)


@require_POST
@login_required
def revoke(request: HttpRequest, number: int) -> HttpResponse:
    """Revoke a key of one's own; the head may revoke any."""
    person_id, is_head = _person(request)
    try:
        api_key_revoke(number=number, owner_id=None if is_head else person_id, now=timezone.now())
    except ApiKeyMissing as error:
        raise Http404 from error
    return redirect("keys")


def _person(request: HttpRequest) -> tuple[int, bool]:
    if not is_teacher(request.user) or request.user.pk is None:
        raise PermissionDenied
    return request.user.pk, has_role(request.user, Role.HEAD)

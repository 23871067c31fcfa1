"""The doors to earlier conversations: list and search them, rename one, delete one."""

from __future__ import annotations

from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from federation.errors import FederationError
from node.chat.doors import own_conversations, refused
from node.chat.search import search_pattern
from node.chat.services import conversation_delete, conversation_rename

CONVERSATIONS_ON_A_PAGE = 30


@require_GET
def history(request: HttpRequest) -> HttpResponse:
    """Show the asker's conversations, or those that speak of something."""
    sought = request.GET.get("q", "")
    pattern = search_pattern(sought)
    own = own_conversations(request)
    found = (own.speaking_of(pattern) if pattern else own).titled()
    page = Paginator(found, CONVERSATIONS_ON_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "node/history.html", {"page": page, "sought": sought if pattern else ""})


@require_POST
def rename(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """Give one of the asker's conversations another title."""
    conversation = get_object_or_404(own_conversations(request), pk=conversation_id)
    try:
        conversation_rename(conversation=conversation, title=request.POST.get("title", ""))
    except FederationError as error:
        return refused(request, error)
    return redirect("conversation", conversation.pk)


@require_POST
def delete(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """Take one of the asker's conversations away."""
    conversation = get_object_or_404(own_conversations(request), pk=conversation_id)
    try:
        conversation_delete(conversation=conversation)
    except FederationError as error:
        return refused(request, error)
    return redirect("history")

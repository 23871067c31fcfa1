"""What the admin's pages have in common: received rows are read-only, and actions call services."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin

from central.words import sentence
from federation.errors import FederationError


class ReadOnlyAdmin(ModelAdmin):
    """A page that shows rows and changes none; only services write them."""

    actions_selection_counter = True

    def has_add_permission(self, request: HttpRequest, *_parent: Any) -> bool:  # noqa: ANN401 - Django's signature
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse; whoever may view may still use the actions that are allowed to them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse."""
        return False


def rows_act(request: HttpRequest, rows: Iterable[Model], call: Callable[[Any], object], done: str) -> None:
    """Call `call` on each row and tell the person for each what happened."""
    for row in rows:
        try:
            call(row)
        except FederationError as error:
            messages.error(request, f"{row}: {sentence(error.code, error.fields)}")
        else:
            messages.success(request, f"{row}: {done}")


def actor_of(request: HttpRequest) -> str:
    """Return the name under which the audit knows who is asking."""
    return str(request.user.get_username())


def row_become(row: Model, made: Model) -> None:
    """Make `row`, which the admin's form holds, the row that a service has made of it: the admin goes on with it."""
    row.__dict__.update(made.__dict__)


def pdf_answer(request: HttpRequest, make: Callable[[], bytes]) -> HttpResponse | None:
    """Answer what `make` returns as a download that no browser or proxy keeps; a refusal becomes a message."""
    try:
        content = make()
    except FederationError as error:
        messages.error(request, sentence(error.code, error.fields))
        return None
    headers = {"Content-Disposition": 'attachment; filename="claim-sheets.pdf"', "Cache-Control": "no-store"}
    return HttpResponse(content, content_type="application/pdf", headers=headers)

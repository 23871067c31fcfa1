"""What the admin's pages have in common: each shows what lies within the person's reach, and actions call services.

The rules, in order:
1. A page shows the rows of `central.schools.reach` and no others, and its forms offer no others.
2. An action, or an address of a page's own, that names no permission is for those who may change the page's rows: an
   auditor sees every page and moves nothing.
3. What a service refuses is told in a sentence, wherever on the page it was asked for.
4. Every list can be had as a CSV file: the page's columns, filters and order, the person's own rows. That somebody took
   one is in the audit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite, FieldListFilter, RelatedFieldListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import Field, Model, QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action

from central.admin_paging import KeysFirstPaginator
from central.csv_stream import csv_pieces
from central.list_table import table_head, table_rows
from central.reports import report_each, report_read
from central.schools.audit import audit_record
from central.schools.reach import Reach, reach_of
from central.streams import download_answer
from central.words import sentence
from federation.errors import FederationError

CSV_PATH = "csv"


def reach_of_request(request: HttpRequest) -> Reach:
    """Return how far the word of whoever asks goes."""
    return reach_of(request.user)


class ScopedRows:
    """Pages and inlines of rows within the person's reach."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that the person sees."""
        queryset: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        return reach_of_request(request).rows(queryset)

    def get_field_queryset(
        self, db: str | None, db_field: Field[Any, Any], request: HttpRequest
    ) -> QuerySet[Any] | None:
        """Offer in a form what the person sees."""
        queryset: QuerySet[Any] | None = super().get_field_queryset(db, db_field, request)  # type: ignore[misc]
        if queryset is None:
            related: Any = db_field.remote_field
            queryset = related.model._default_manager.using(db)  # noqa: SLF001 - Django documents it
        return reach_of_request(request).rows(queryset)


class ScopedInline(ScopedRows, TabularInline):
    """Rows that belong to the page's row, to be read."""

    extra = 0
    can_delete = False

    def has_add_permission(self, *_arguments: Any) -> bool:  # noqa: ANN401 - Django's signature
        """Refuse."""
        return False

    def has_change_permission(self, *_arguments: Any) -> bool:  # noqa: ANN401 - Django's signature
        """Refuse."""
        return False


class ScopedAdmin(ScopedRows, ModelAdmin):
    """A page of rows within the person's reach, whose actions are for those who may change them."""

    actions_selection_counter = True
    # A hundred rows take a server twice as long to draw, and nobody reads them at once.
    list_per_page = 50
    paginator = KeysFirstPaginator

    def __init__(self, model: type[Model], admin_site: AdminSite) -> None:
        super().__init__(model, admin_site)
        self.actions_list: tuple[Any, ...] = (*self.actions_list, "export_csv")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, and offer it as a file with the filters that it is shown with."""
        try:
            answer: HttpResponse = super().changelist_view(request, extra_context)
        except FederationError as error:
            return _refused(request, error)
        query = request.GET.urlencode()
        if query and isinstance(answer, TemplateResponse) and answer.context_data is not None:
            for link in answer.context_data.get("actions_list", ()):
                if link.get("path", "").endswith(f"/{CSV_PATH}/"):
                    link["path"] += f"?{query}"
        return answer

    @action(description=_("Download as CSV"), url_path=CSV_PATH, permissions=("view",), icon="download")
    def export_csv(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the list as it is filtered and ordered, as a CSV file."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        try:
            changelist = report_read(lambda: self.get_changelist_instance(request))
        except IncorrectLookupParameters:
            return HttpResponseRedirect("../")
        audit_record(
            actor=actor_of(request),
            entity=f"{self.opts.label_lower} list",
            old="",
            new="downloaded",
            reason=request.GET.urlencode()[:500],
            now=timezone.now(),
        )
        pieces = csv_pieces(table_head(changelist), report_each(lambda: table_rows(changelist)))
        name = f"{self.opts.model_name}.csv"
        answer = download_answer(request, pieces, content_type="text/csv; charset=utf-8", name=name)
        answer["Cache-Control"] = "no-store"
        return answer

    def has_steer_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Let whoever may change rows of the kind, and this one where it is named, use the page's actions."""
        if not request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"):
            return False
        row = self.get_object(request, object_id) if object_id else None
        return row is None or reach_of_request(request).holds([row])

    def get_actions(self, request: HttpRequest) -> Any:  # noqa: ANN401 - Django's signature
        """Offer actions that name no permission to those alone who may steer."""
        actions = super().get_actions(request)
        may_steer = self.has_steer_permission(request)
        return {
            name: action for name, action in actions.items() if may_steer or hasattr(action[0], "allowed_permissions")
        }

    def get_unfold_action(self, name: str) -> UnfoldAction:
        """Return an address of the page's own, shut to those who may not use it, and for rows out of reach."""
        found = super().get_unfold_action(name)
        return replace(found, method=self._guarded(found.method))

    def _guarded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def guarded(request: HttpRequest, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - any action's
            if not hasattr(method, "allowed_permissions") and not self.has_steer_permission(request):
                raise PermissionDenied
            object_id = named.get("object_id", arguments[0] if arguments else None)
            if isinstance(object_id, str) and self.get_object(request, object_id) is None:
                raise Http404
            return method(request, *arguments, **named)

        if not hasattr(method, "allowed_permissions"):
            guarded.allowed_permissions = ("steer",)  # type: ignore[attr-defined]
        return guarded

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponseBase:
        """Show the form; what its service refuses is told, and nothing is kept."""
        try:
            answer: HttpResponseBase = super().changeform_view(request, object_id, form_url, extra_context)
        except FederationError as error:
            return _refused(request, error)
        return answer

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Ask whether the row may go; what its service refuses is told."""
        try:
            answer: HttpResponseBase = super().delete_view(request, object_id, extra_context)
        except FederationError as error:
            return _refused(request, error)
        return answer


def _refused(request: HttpRequest, error: FederationError) -> HttpResponseRedirect:
    messages.error(request, sentence(error.code, error.fields))
    return HttpResponseRedirect(request.get_full_path())


class ReadOnlyAdmin(ScopedAdmin):
    """A page that shows rows and changes none; only services write them."""

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


class ScopedRelatedFilter(RelatedFieldListFilter):
    """A filter by another row, which offers those within the person's reach."""

    def field_choices(
        self,
        field: Any,  # noqa: ANN401 - Django's signature
        request: HttpRequest,
        model_admin: ModelAdmin,
    ) -> Any:  # noqa: ANN401 - pairs of a key and its words
        """Return the choices."""
        reach, model = reach_of_request(request), field.remote_field.model
        within = reach.rows(model._default_manager.all()).values("pk")  # noqa: SLF001 - Django documents it
        ordering = self.field_admin_ordering(field, request, model_admin)
        return field.get_choices(include_blank=False, ordering=ordering, limit_choices_to={"pk__in": within})


FieldListFilter.register(lambda field: bool(field.remote_field), ScopedRelatedFilter, take_priority=True)

"""Saved filters of schools in the admin."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from central.admin_pages import ScopedAdmin, actor_of, reach_of_request
from central.rollouts.models import SchoolFilter
from central.rollouts.plan_form import SchoolFilterForm
from central.rollouts.services import school_filter_change, school_filter_delete, school_filter_save
from central.rollouts.words import target_words
from central.words import sentence
from federation.errors import FederationError


@admin.register(SchoolFilter)
class SchoolFilterAdmin(ScopedAdmin):
    """Filters by which rollouts are planned."""

    list_display = ("name", "shown_target", "created_by", "created_at")
    search_fields = ("name",)

    @admin.display(description=_("for"))
    def shown_target(self, saved: SchoolFilter) -> str:
        """Whom it admits, in words."""
        return target_words(saved.target())

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:  # noqa: ANN401
        """Make a filter."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._form_page(request, None)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: Any = None,  # noqa: ANN401
    ) -> HttpResponse:
        """Change a filter."""
        saved: SchoolFilter | None = self.get_object(request, object_id)
        if saved is None:
            raise Http404
        if not self.has_view_permission(request, saved):
            raise PermissionDenied
        return self._form_page(request, saved)

    def delete_model(self, request: HttpRequest, obj: SchoolFilter) -> None:
        """Forget a filter by its service."""
        school_filter_delete(saved=obj, actor=actor_of(request), now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[SchoolFilter]) -> None:
        """Forget filters by their service."""
        for saved in queryset:
            self.delete_model(request, saved)

    def _form_page(self, request: HttpRequest, saved: SchoolFilter | None) -> HttpResponse:
        initial = {"name": saved.name, **asdict(saved.target())} if saved else {}
        sent = request.POST if request.method == "POST" else None
        form = SchoolFilterForm(sent, initial=initial, reach=reach_of_request(request))
        may_keep = saved is None or self.has_change_permission(request, saved)
        if request.method == "POST" and not may_keep:
            raise PermissionDenied
        if request.method == "POST" and form.is_valid() and self._keep(request, saved, form):
            messages.success(request, gettext("The filter «%(name)s» is kept.") % {"name": form.cleaned_data["name"]})
            return HttpResponseRedirect(reverse("admin:rollouts_schoolfilter_changelist"))
        may_delete = saved is not None and self.has_delete_permission(request, saved)
        shown = {"title": str(saved or gettext("A filter of schools")), "form": form, "saved": saved}
        context = {**self.admin_site.each_context(request), "opts": self.opts, "may_delete": may_delete, **shown}
        return TemplateResponse(request, "rollouts/school_filter.html", {**context, "may_keep": may_keep})

    def _keep(self, request: HttpRequest, saved: SchoolFilter | None, form: SchoolFilterForm) -> bool:
        asked: dict[str, Any] = {"name": form.cleaned_data["name"], "target": form.target()}
        actor, now = actor_of(request), timezone.now()
        try:
            if saved is None:
                school_filter_save(actor=actor, now=now, **asked)
            else:
                school_filter_change(saved=saved, actor=actor, now=now, **asked)
        except FederationError as error:
            form.add_error("name", sentence(error.code, error.fields))
            return False
        return True

"""The page «Link»: the head says when and how fast releases may come, and whether the school's PCs share them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from node.accounts import Role, has_role
from node.sentences import error_sentence
from node.sync.errors import LinkRuleRefused
from node.sync.link_settings import link_rule_read, link_settings_read, link_settings_write


class LinkForm(forms.Form):
    """What the head decides; empty fields decide nothing."""

    cap_kbit_s = forms.IntegerField(required=False)
    cap_from = forms.TimeField(required=False)
    cap_until = forms.TimeField(required=False)
    opens_at = forms.TimeField(required=False)
    closes_at = forms.TimeField(required=False)
    is_shared = forms.BooleanField(required=False)


@require_http_methods(["GET", "POST"])
@login_required
def link(request: HttpRequest) -> HttpResponse:
    """Show the head what holds, and keep what is changed."""
    if not has_role(request.user, Role.HEAD):
        raise PermissionDenied
    rule, here = link_rule_read(), timezone.localtime().time()
    page: dict[str, Any] = {"settings": link_settings_read(), "is_open": rule.is_open(here), "cap": rule.cap_at(here)}
    if request.method == "POST":
        try:
            _keep(LinkForm(request.POST))
            return redirect("link")
        except LinkRuleRefused as error:
            page["problem"] = error_sentence(error)
    return render(request, "node/link.html", page)


def _keep(form: LinkForm) -> None:
    if not form.is_valid():
        field = next(iter(form.errors))
        raise LinkRuleRefused(field=field, value=form.data.get(field, ""))
    link_settings_write(**form.cleaned_data)

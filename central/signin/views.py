"""The two pages of the second factor; each admin page leads to them where they are due (`central.admin_site`)."""

from __future__ import annotations

from typing import Any

import segno
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django_otp import login as factor_login

from central.signin.forms import CodeForm
from central.signin.services import code_take, factor_begin, factor_confirm, factor_of
from central.words import sentence
from federation.errors import FederationError

QR_SCALE = 5


def place_due(request: HttpRequest) -> str | None:
    """Return the page of the second factor that the person must see first, or None where they may go on."""
    user: Any = request.user
    if not user.is_authenticated or user.is_verified():
        return None
    if factor_of(user) is not None:
        return reverse("admin:second_factor")
    return reverse("admin:second_factor_enrol") if settings.IS_SECOND_FACTOR_REQUIRED else None


def second_factor(request: HttpRequest) -> HttpResponse:
    """Ask for the code, and go on to where the person wanted to go."""
    user: Any = request.user
    if factor_of(user) is None or user.is_verified():
        return HttpResponseRedirect(reverse("admin:index"))
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            device = code_take(user=_person(user), code=form.cleaned_data["code"], now=timezone.now())
        except FederationError as error:
            form.add_error("code", sentence(error.code, error.fields))
        else:
            request.session.cycle_key()
            factor_login(request, device)
            return HttpResponseRedirect(_next(request))
    return _page(request, "signin/second_factor.html", form=form, next=_next(request))


def second_factor_enrol(request: HttpRequest) -> HttpResponse:
    """Show the square to scan, and once the telephone's code was right the recovery codes, this once."""
    user: Any = request.user
    if factor_of(user) is not None and not user.is_verified():
        return HttpResponseRedirect(reverse("admin:second_factor"))
    device, form = factor_begin(user=_person(user)), CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            codes = factor_confirm(user=_person(user), code=form.cleaned_data["code"], now=timezone.now())
        except FederationError as error:
            form.add_error("code", sentence(error.code, error.fields))
        else:
            request.session.cycle_key()
            factor_login(request, factor_of(user))
            return _page(request, "signin/recovery_codes.html", codes=codes)
    address = device.config_url
    square = segno.make(address, micro=False).svg_data_uri(scale=QR_SCALE, border=4, light="#ffffff")
    secret = address.partition("secret=")[2].partition("&")[0]
    return _page(request, "signin/enrol.html", form=form, square=square, secret=secret)


def _page(request: HttpRequest, template: str, **shown: Any) -> HttpResponse:  # noqa: ANN401 - a template's words
    # The site's guard has forbidden every cache to keep it.
    return render(request, template, {**admin.site.each_context(request), **shown})


def _next(request: HttpRequest) -> str:
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_ours else reverse("admin:index")


def _person(user: Any) -> User:  # noqa: ANN401 - the request's lazy user
    return User.objects.get(pk=user.pk)

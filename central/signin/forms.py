"""What the pages for signing in ask."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework.throttling import BaseThrottle
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from central.signin.services import signin_expect, signin_fail, signin_succeed
from central.words import sentence
from federation.errors import FederationError


class SignInForm(AuthenticationForm):
    """Asks for name and password, unless too many were wrong."""

    def clean(self) -> dict[str, Any]:
        """Return what was asked for, or refuse and count the failure."""
        name = str(self.cleaned_data.get("username") or "")
        # The same word for the address as the doors of nodes have, proxies considered.
        address = BaseThrottle().get_ident(self.request) or ""
        try:
            signin_expect(name=name, address=address, now=timezone.now())
        except FederationError as error:
            raise ValidationError(sentence(error.code, error.fields), code=error.code) from error
        try:
            asked: dict[str, Any] = super().clean()
        except ValidationError:
            signin_fail(name=name, address=address, now=timezone.now())
            raise
        signin_succeed(name=name, address=address)
        return asked


class CodeForm(forms.Form):
    """Asks for the code that the telephone shows."""

    code = forms.CharField(
        label=_("code"),
        max_length=20,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "autofocus": "", "aria-describedby": "code-help"}
        ),
    )

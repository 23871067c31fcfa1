"""What a person is asked who judges an update in quarantine."""

from __future__ import annotations

from enum import StrEnum

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget


class Verdict(StrEnum):
    """What becomes of an update in quarantine."""

    RELEASE = "release"
    REJECT = "reject"


class JudgeForm(forms.Form):
    """Asks why; the button that is pressed says what."""

    reason = forms.CharField(
        label=_("why"),
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("What the school says, and what you make of it. The audit keeps it for good."),
    )
    verdict = forms.TypedChoiceField(choices=[(each.value, each.value) for each in Verdict], coerce=Verdict)

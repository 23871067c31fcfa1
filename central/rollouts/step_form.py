"""What a step asks before it is taken."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from central.rollouts.steps import DANGEROUS, REASON_NEEDED, WITH_REASON, StepName


class StepForm(forms.Form):
    """Asks why, where the audit wants to know, and how many may fail, where that is the step."""

    failure_budget = forms.IntegerField(
        label=_("failures allowed in all"), min_value=0, widget=UnfoldAdminIntegerFieldWidget
    )
    reason = forms.CharField(
        label=_("why"),
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("The trail keeps it for good."),
    )

    def __init__(self, *arguments: Any, step: StepName, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*arguments, **options)
        self.is_dangerous = step in DANGEROUS
        if step is not StepName.BUDGET:
            del self.fields["failure_budget"]
        if step in WITH_REASON:
            self.fields["reason"].required = step in REASON_NEEDED
        else:
            del self.fields["reason"]

    @property
    def reason_given(self) -> str:
        """Why, in the person's own words; empty where that was not asked or not said."""
        return str(self.cleaned_data.get("reason", ""))

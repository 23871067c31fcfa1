"""The rating form: what a teacher fills in, checked field by field."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from node.ratings.models import Reason, Subject
from node.ratings.services import MAX_CORRECTION_CHARACTERS, Opinion

STARS = [
    (1, _("1: useless")),
    (2, _("2: weak")),
    (3, _("3: middling")),
    (4, _("4: good")),
    (5, _("5: excellent")),
]
GRADES = [(0, _("No grade")), *((grade, str(grade)) for grade in range(1, 12))]


class OpinionForm(forms.Form):
    """One teacher's opinion of one answer."""

    stars = forms.TypedChoiceField(coerce=int, choices=STARS, widget=forms.RadioSelect)
    reasons = forms.MultipleChoiceField(choices=Reason.choices, required=False, widget=forms.CheckboxSelectMultiple)
    correction = forms.CharField(
        required=False,
        max_length=MAX_CORRECTION_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 8, "maxlength": 8000}),
    )
    subject = forms.ChoiceField(choices=Subject.choices, required=False)
    grade = forms.TypedChoiceField(coerce=int, choices=GRADES, required=False, empty_value="0")

    def opinion(self) -> Opinion:
        """Return the filled-in and valid form as a value."""
        return Opinion(
            stars=self.cleaned_data["stars"],
            reasons=tuple(self.cleaned_data["reasons"]),
            correction=self.cleaned_data["correction"].replace("\r\n", "\n").strip(),
            subject=self.cleaned_data["subject"],
            grade=int(self.cleaned_data["grade"]),
        )

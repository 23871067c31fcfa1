"""The rating form: what a teacher fills in, checked field by field."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from node.ratings.models import Reason
from node.ratings.services import MAX_CORRECTION_CHARACTERS, MAX_MASKED_CHARACTERS, MAX_MASKED_WORDS, Opinion
from node.subjects import Subject

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

    masked_words = forms.CharField(
        required=False,
        max_length=MAX_MASKED_WORDS * MAX_MASKED_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def clean_masked_words(self) -> tuple[str, ...]:
        """Return the words to mask, one a line."""
        lines = [" ".join(line.split()) for line in self.cleaned_data["masked_words"].splitlines()]
        words = tuple(dict.fromkeys(line for line in lines if line))
        if len(words) > MAX_MASKED_WORDS or max(map(len, words), default=0) > MAX_MASKED_CHARACTERS:
            raise forms.ValidationError("", code="too_many")
        return words

    def opinion(self) -> Opinion:
        """Return the filled-in and valid form as a value."""
        return Opinion(
            stars=self.cleaned_data["stars"],
            reasons=tuple(self.cleaned_data["reasons"]),
            correction=self.cleaned_data["correction"].replace("\r\n", "\n").strip(),
            subject=self.cleaned_data["subject"],
            grade=int(self.cleaned_data["grade"]),
            masked_words=self.cleaned_data["masked_words"],
        )

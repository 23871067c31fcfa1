"""What the admin's two pages for sticks ask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectMultipleWidget,
    UnfoldAdminSelectWidget,
)

from central.schools.models import School
from central.schools.reach import Reach
from federation.trust.stick_media import Medium, media_find, mounts_read

MAX_UPLOAD_BYTES = 2 * 1024**3


class StickWriteForm(forms.Form):
    """Asks for whom a stick is."""

    regions = forms.MultipleChoiceField(
        label=_("regions"),
        required=False,
        widget=UnfoldAdminSelectMultipleWidget,
        help_text=_("None and no school: all."),
    )
    schools = forms.ModelMultipleChoiceField(
        label=_("schools"), queryset=School.objects.none(), required=False, widget=UnfoldAdminSelectMultipleWidget
    )

    def __init__(self, *arguments: Any, reach: Reach, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*arguments, **options)
        within = reach.rows(School.objects.all())
        chosen = self.fields["schools"]
        if isinstance(chosen, forms.ModelMultipleChoiceField):
            chosen.queryset = within
        regions = within.exclude(region="").order_by("region").values_list("region", flat=True).distinct()
        field = self.fields["regions"]
        if isinstance(field, forms.MultipleChoiceField):
            field.choices = [(region, region) for region in regions]


class StickReadForm(forms.Form):
    """Asks where what came back is."""

    packed = forms.FileField(
        label=_("ZIP file of the stick"), required=False, widget=UnfoldAdminFileFieldWidget, max_length=300
    )
    place = forms.ChoiceField(
        label=_("or a stick in the centre's own machine"), required=False, widget=UnfoldAdminSelectWidget
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*arguments, **options)
        field = self.fields["place"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [("", "—"), *((str(medium.place), medium.name) for medium in _media())]

    def clean(self) -> dict[str, Any]:
        """Refuse a form that names neither, both, or a file that no stick is as long as."""
        asked = super().clean() or {}
        packed = asked.get("packed")
        if bool(packed) == bool(asked.get("place")):
            raise forms.ValidationError(gettext("Choose a ZIP file or a stick, one of the two."))
        if packed and packed.size > MAX_UPLOAD_BYTES:
            raise forms.ValidationError(gettext("The file is longer than 2 GB; pack only the folder soro/returns."))
        return asked

    @property
    def chosen_place(self) -> Path:
        """The mounted stick that was chosen, one of those that are there."""
        return Path(self.cleaned_data["place"])


def _media() -> Sequence[Medium]:
    return media_find(mounts=mounts_read(), folders=settings.STICK_FOLDERS)

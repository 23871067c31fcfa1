"""The form that opens a season: it refuses what the service would refuse."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from central.releases.models import Release, ReleaseKindChoice
from central.releases.package_slots import slot_sizes
from central.training.mode_settings import mode_expect
from central.training.models import Season, SeasonMode, SeasonStatus
from central.training.plan_settings import LEAST_DAYS, ROUND_DAYS, StepsChoice, plan_settings
from central.trust_root import director_key
from central.words import sentence
from federation.errors import FederationError
from federation.learning.schemes.scheme import Fusion
from federation.wire.rounds import SchemeName

STEPS = (
    (StepsChoice.NATURAL.value, _("small steps, many rounds")),
    (StepsChoice.ADAM.value, _("by heart, in one round")),
)
FUSIONS = ((Fusion.LEAST_SQUARES.value, _("least squares")), (Fusion.MEAN.value, _("weighted mean")))


class SeasonForm(forms.ModelForm):
    """Asks which base to learn on, how many schools make a round, and how their updates are combined."""

    steps = forms.ChoiceField(
        label=_("How schools learn"),
        choices=STEPS,
        initial=StepsChoice.NATURAL.value,
        widget=UnfoldAdminSelectWidget,
        help_text=_("By heart is for a handful of corrections, and wherever the weighted mean is taken."),
    )
    fusion = forms.ChoiceField(
        label=_("How updates are added up"),
        choices=FUSIONS,
        initial=Fusion.LEAST_SQUARES.value,
        widget=UnfoldAdminSelectWidget,
        help_text=_("The private mode needs the weighted mean."),
    )
    least_days = forms.IntegerField(
        label=_("Days that a round collects at least"),
        initial=LEAST_DAYS,
        min_value=0,
        max_value=ROUND_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("So that schools that come seldom are not too late for it, however fast the others fill it."),
    )

    class Meta:
        model = Season
        fields = ("base", "wanted", "mode", "scheme", "mode_settings")

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*arguments, **options)
        base = self.fields.get("base")
        if isinstance(base, forms.ModelChoiceField):
            base.queryset = Release.objects.in_force().filter(kind=ReleaseKindChoice.BASE)

    def clean(self) -> dict[str, Any]:
        """Refuse what the service would refuse, and keep the season's settings as `settings`."""
        cleaned = super().clean() or self.cleaned_data
        base = cleaned.get("base")
        cleaned["settings"] = plan_settings(
            steps=StepsChoice(cleaned.get("steps", StepsChoice.NATURAL)),
            fusion=Fusion(cleaned.get("fusion", Fusion.LEAST_SQUARES)),
            least_days=cleaned.get("least_days", LEAST_DAYS),
        )
        if base is None or not {"mode", "scheme"} <= cleaned.keys():
            return cleaned
        try:
            slot_sizes(base)
            director_key()
            mode_expect(
                mode=SeasonMode(cleaned["mode"]),
                settings=cleaned.get("mode_settings") or {},
                scheme=SchemeName(cleaned["scheme"]),
                fusion=cleaned["settings"].fusion,
                wanted=cleaned.get("wanted") or 0,
            )
        except FederationError as error:
            raise ValidationError(sentence(error.code, error.fields)) from error
        if Season.objects.filter(base=base, status=SeasonStatus.OPEN).exists():
            raise ValidationError(sentence("season_under_way", {}))
        return cleaned

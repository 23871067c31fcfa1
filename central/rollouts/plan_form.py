"""What the page that plans a rollout asks, and the plan that its answers make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from central.releases.models import Release
from central.rollouts.models import Rollout, RolloutKind, SchoolFilter, Wave
from central.rollouts.planning import DEFAULT_RULES, DEFAULT_TERMS
from central.rollouts.quality import QualityRules
from central.rollouts.targeting import Target
from central.rollouts.terms import RolloutTerms
from central.rollouts.verdict import WaveRules
from central.rollouts.wave_spec import ALL_PERCENT, WaveSpec
from central.schools.hardware_class import HardwareClass
from central.schools.models import School, Tag
from central.schools.reach import Reach
from central.words import sentence

MOST_WAVES = 12
PERCENT = 100
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class MomentInput(forms.DateTimeInput):
    """The browser's own picker of a date and a time: it needs no script and works with the keyboard."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M", attrs={"class": "rollout-moment"})


class HourInput(forms.TimeInput):
    """The browser's own picker of a time."""

    input_type = "time"

    def __init__(self) -> None:
        super().__init__(format="%H:%M", attrs={"class": "rollout-moment"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """What `rollout_create` and `rollout_replan` are called with."""

    release: Release
    waves: tuple[WaveSpec, ...]
    rules: WaveRules
    terms: RolloutTerms
    starts_at: datetime | None


class TargetForm(forms.Form):
    """Asks which schools: of each kind of mark one of those chosen, and of a kind with none chosen any."""

    regions = forms.MultipleChoiceField(
        label=_("regions"), required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget, help_text=_("None: all.")
    )
    districts = forms.MultipleChoiceField(
        label=_("districts"), required=False, widget=UnfoldAdminSelectMultipleWidget, help_text=_("None: all.")
    )
    kinds = forms.MultipleChoiceField(
        label=_("kinds of school"),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("None: all."),
    )
    hardware = forms.MultipleChoiceField(
        label=_("hardware"),
        required=False,
        choices=HardwareClass.choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("None: all."),
    )
    tags = forms.MultipleChoiceField(
        label=_("tags"), required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget, help_text=_("None: all.")
    )

    MARKS = ("regions", "districts", "kinds", "hardware", "tags")

    def __init__(self, *arguments: Any, reach: Reach, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*arguments, **options)
        schools = reach.rows(School.objects.order_by())
        if reach.region is not None:
            self.initial.setdefault("regions", [reach.region])
        known = {
            "regions": schools.exclude(region="").values_list("region", flat=True).distinct(),
            "districts": schools.exclude(district="").values_list("district", flat=True).distinct(),
            "kinds": schools.exclude(kind="").values_list("kind", flat=True).distinct(),
            "tags": Tag.objects.values_list("name", flat=True),
        }
        for name, values in known.items():
            self._offer(name, values)

    def _offer(self, name: str, values: Iterable[str]) -> None:
        """Offer what schools have, and what the plan in hand has even where no school has it any more."""
        field = self.fields[name]
        held = self.initial.get(name, ()) or ()
        if isinstance(field, forms.MultipleChoiceField):
            field.choices = [(each, each) for each in sorted({*values, *held})]

    def target(self) -> Target:
        """Return the marks that were chosen."""
        return Target(**{name: tuple(self.cleaned_data[name]) for name in self.MARKS})


class SchoolFilterForm(TargetForm):
    """Asks for a filter's name and its marks."""

    name = forms.CharField(label=_("name"), max_length=80, widget=UnfoldAdminTextInputWidget)

    field_order = ("name", *TargetForm.MARKS)


class PlanForm(TargetForm):
    """Asks everything of a rollout but its waves."""

    release = forms.ModelChoiceField(
        label=_("release"), queryset=Release.objects.none(), widget=UnfoldAdminSelectWidget
    )
    purpose = forms.ChoiceField(
        label=_("what it does"),
        choices=(
            ("bring", _("brings the release")),
            ("fetch", _("only fetches the release; schools change over on a date")),
            ("return", _("returns schools to this older release")),
        ),
        initial="bring",
        widget=UnfoldAdminSelectWidget,
    )
    activates_at = forms.DateTimeField(
        label=_("schools change over on"),
        required=False,
        widget=MomentInput,
        help_text=_("Only for a rollout that fetches first."),
    )
    is_forced = forms.BooleanField(
        label=_("forced"),
        required=False,
        widget=UnfoldBooleanWidget,
        help_text=_("Schools do not wait for their hours; for urgent corrections."),
    )
    saved_filter = forms.ModelChoiceField(
        label=_("saved filter"),
        queryset=SchoolFilter.objects.all(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=_("Takes the place of the marks below."),
    )
    starts_at = forms.DateTimeField(
        label=_("not before"),
        required=False,
        widget=MomentInput,
        help_text=_("Empty: as soon as somebody has approved it."),
    )
    window_opens_at = forms.TimeField(
        label=_("change over from"), required=False, widget=HourInput, help_text=_("By the school's own clock.")
    )
    window_closes_at = forms.TimeField(
        label=_("change over until"), required=False, widget=HourInput, help_text=_("May lie after midnight.")
    )
    soak_hours = forms.IntegerField(
        label=_("soak, hours"),
        min_value=0,
        initial=DEFAULT_RULES.soak // HOUR,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("So long must a wave stay good before the next one opens."),
    )
    deadline_days = forms.IntegerField(
        label=_("deadline, days"),
        min_value=1,
        initial=DEFAULT_RULES.deadline // DAY,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("With too few reports by then a person decides."),
    )
    pass_percent = forms.IntegerField(
        label=_("PCs that must run it, %"),
        min_value=1,
        max_value=PERCENT,
        initial=round(DEFAULT_RULES.pass_share * PERCENT),
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("Of those that were in contact since the wave opened."),
    )
    failures_allowed = forms.IntegerField(
        label=_("failures allowed in a wave"),
        min_value=0,
        initial=DEFAULT_RULES.failures_allowed,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    failure_budget = forms.IntegerField(
        label=_("failures allowed in all"),
        min_value=0,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("More stop the rollout at once; empty: as many as its open waves allow together."),
    )
    margin_percent = forms.IntegerField(
        label=_("good ratings may fall by, points"),
        min_value=0,
        max_value=PERCENT,
        initial=round(DEFAULT_TERMS.quality.margin * PERCENT),
        widget=UnfoldAdminIntegerFieldWidget,
    )
    min_ratings = forms.IntegerField(
        label=_("ratings needed to compare"),
        min_value=0,
        initial=DEFAULT_TERMS.quality.min_ratings,
        widget=UnfoldAdminIntegerFieldWidget,
    )

    GROUPS = (
        (_("What"), ("release", "purpose", "activates_at", "is_forced")),
        (_("For whom"), ("saved_filter", *TargetForm.MARKS)),
        (_("When"), ("starts_at", "window_opens_at", "window_closes_at")),
        (
            _("What a wave must do"),
            ("soak_hours", "deadline_days", "pass_percent", "failures_allowed", "failure_budget"),
        ),
        (_("What ratings must say"), ("margin_percent", "min_ratings")),
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*arguments, **options)
        release = self.fields["release"]
        if isinstance(release, forms.ModelChoiceField):
            release.queryset = Release.objects.in_force().only("version", "title", "status", "kind")

    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """Return the fields as the page shows them, in groups."""
        return [(str(title), [self[name] for name in names]) for title, names in self.GROUPS]

    def clean(self) -> dict[str, Any]:
        """Refuse answers that contradict each other."""
        asked = super().clean() or self.cleaned_data
        if (asked.get("purpose") == "fetch") != bool(asked.get("activates_at")):
            self.add_error("activates_at", gettext("Give a date if schools fetch first, and none otherwise."))
        if bool(asked.get("window_opens_at")) != bool(asked.get("window_closes_at")):
            self.add_error("window_closes_at", gettext("Give both hours or neither."))
        if asked.get("saved_filter") and any(asked.get(name) for name in self.MARKS):
            self.add_error("saved_filter", gettext("Choose a saved filter or marks, not both."))
        return asked

    def terms(self) -> RolloutTerms:
        """Return the terms that were asked for."""
        asked = self.cleaned_data
        saved: SchoolFilter | None = asked["saved_filter"]
        opens_at, closes_at = asked["window_opens_at"], asked["window_closes_at"]
        return RolloutTerms(
            target=saved.target() if saved else self.target(),
            is_rollback=asked["purpose"] == "return",
            is_forced=asked["is_forced"],
            activates_at=asked["activates_at"],
            window=(opens_at, closes_at) if opens_at and closes_at else None,
            failure_budget=asked["failure_budget"],
            quality=QualityRules(margin=asked["margin_percent"] / PERCENT, min_ratings=asked["min_ratings"]),
        )

    def rules(self) -> WaveRules:
        """Return by what each wave is judged."""
        asked = self.cleaned_data
        return replace(
            DEFAULT_RULES,
            soak=asked["soak_hours"] * HOUR,
            deadline=asked["deadline_days"] * DAY,
            pass_share=asked["pass_percent"] / PERCENT,
            failures_allowed=asked["failures_allowed"],
        )


class WaveForm(forms.Form):
    """Asks for one wave; a row where nothing is chosen is no wave."""

    whom = forms.ChoiceField(
        label=_("whom"),
        required=False,
        choices=(
            ("", "—"),
            ("percent", _("up to a share of all PCs, %")),
            ("count", _("so many more PCs")),
            ("list", _("schools by name")),
        ),
        widget=UnfoldAdminSelectWidget,
    )
    name = forms.CharField(label=_("name"), max_length=80, required=False, widget=UnfoldAdminTextInputWidget)
    number = forms.IntegerField(
        label=_("share or number"), min_value=1, required=False, widget=UnfoldAdminIntegerFieldWidget
    )
    schools = forms.CharField(
        label=_("schools, one a line"), required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )

    def clean(self) -> dict[str, Any]:
        """Keep the wave that the row asks for as `spec`; None where it asks for none."""
        asked = super().clean() or self.cleaned_data
        asked["spec"] = None
        whom, number = asked.get("whom", ""), asked.get("number")
        if not whom or self.errors:
            return asked
        if whom == "list":
            asked["spec"] = WaveSpec(name=self._name(), schools=self._schools(asked.get("schools", "")))
        elif not number or (whom == "percent" and number > ALL_PERCENT):
            self.add_error("number", gettext("Give a share of 1 to 100 or a number of PCs."))
        else:
            asked["spec"] = WaveSpec(name=self._name(), **{whom: number})
        return asked

    def _name(self) -> str:
        return self.cleaned_data.get("name") or gettext("wave %(number)s") % {"number": self.prefix_number}

    @property
    def prefix_number(self) -> int:
        """The row's number on the page, from 1."""
        last = str(self.prefix or "").rpartition("-")[2]
        return int(last) + 1 if last.isdecimal() else 1

    def _schools(self, lines: str) -> tuple[School, ...]:
        names = list(dict.fromkeys(line.strip() for line in lines.splitlines() if line.strip()))
        found = {school.name: school for school in School.objects.filter(name__in=names)}
        missing = next((name for name in names if name not in found), None)
        if missing is not None:
            self.add_error("schools", sentence("school_unknown", {"name": missing}))
        elif not names:
            self.add_error("schools", gettext("Name at least one school."))
        return tuple(found[name] for name in names if name in found)


WaveForms = forms.formset_factory(WaveForm, extra=0, max_num=MOST_WAVES, validate_max=True)


def plan_read(form: PlanForm, waves: forms.BaseFormSet[WaveForm]) -> RolloutPlan:
    """Return the plan that two valid forms make."""
    specs = [row.cleaned_data["spec"] for row in waves.forms if row.cleaned_data.get("spec")]
    return RolloutPlan(
        release=form.cleaned_data["release"],
        waves=tuple(specs),
        rules=form.rules(),
        terms=form.terms(),
        starts_at=form.cleaned_data["starts_at"],
    )


def waves_usual() -> list[dict[str, Any]]:
    """Return the waves that a new plan begins with: a few schools, a quarter, all."""
    return [
        {"name": gettext("first schools"), "whom": "count", "number": 20},
        {"name": gettext("a quarter"), "whom": "percent", "number": 25},
        {"name": gettext("all"), "whom": "percent", "number": 100},
    ]


def plan_initial(rollout: Rollout) -> dict[str, Any]:
    """Return what the form shows of a draft that is planned anew."""
    purpose = "fetch" if rollout.activates_at else "bring"
    first = rollout.waves.order_by("number").first()
    judged: Mapping[str, Any] = {}
    if first is not None:
        judged = {
            "soak_hours": first.soak_seconds // int(HOUR.total_seconds()),
            "deadline_days": first.deadline_seconds // int(DAY.total_seconds()),
            "pass_percent": round(first.pass_share * PERCENT),
            "failures_allowed": first.failures_allowed,
        }
    return {
        **asdict(rollout.target()),
        **judged,
        "release": rollout.release_id,
        "purpose": "return" if rollout.kind == RolloutKind.ROLLBACK else purpose,
        "activates_at": rollout.activates_at,
        "is_forced": rollout.is_forced,
        "starts_at": rollout.starts_at,
        "window_opens_at": rollout.window_opens_at,
        "window_closes_at": rollout.window_closes_at,
        "failure_budget": rollout.failure_budget,
        "margin_percent": round(rollout.quality_margin * PERCENT),
        "min_ratings": rollout.quality_min_ratings,
    }


def waves_initial(rollout: Rollout) -> Sequence[dict[str, Any]]:
    """Return the rows of a draft's waves."""
    return [_wave_initial(wave) for wave in rollout.waves.order_by("number").prefetch_related("schools")]


def _wave_initial(wave: Wave) -> dict[str, Any]:
    listed = "\n".join(school.name for school in wave.schools.all())
    whom = "percent" if wave.percent else "count" if wave.count else "list"
    return {"name": wave.name, "whom": whom, "number": wave.percent or wave.count or None, "schools": listed}

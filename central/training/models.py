"""Seasons of learning, their plans and rounds, the updates that schools hand in, and the leases by which they connect.

A season is one frame for many rounds: the same base, the same frozen factors, one way of combining. A plan asks schools
that run one release, the season's start or one of its adapters, to learn from there. A round is one filling of the
buffer: it counts the updates that were accepted while it collected, whichever plan of the season they answer.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from central.releases.models import Release
from central.schools.models import Node, School
from central.schools.models_audit import AppendOnly
from central.schools.models_facts import SharedFact
from central.schools.reach import EVERYWHERE
from central.schools.transitions import HasStatus, Moves, moves
from federation.wire.rounds import SchemeName


class SeasonStatus(models.TextChoices):
    """Whether schools still learn for a season."""

    OPEN = "open", _("open")
    CLOSED = "closed", _("closed")


class SeasonMode(models.TextChoices):
    """What the centre guards against while it combines; never two things at once."""

    PLAIN = "plain", _("plain")
    ROBUST = "robust", _("robust")
    PRIVATE = "private", _("private")


class SchemeChoice(models.TextChoices):
    """Which factors schools learn (`federation.wire.rounds.SchemeName`)."""

    FFA_LORA = SchemeName.FFA_LORA.value, "FFA-LoRA"
    FED_SB = SchemeName.FED_SB.value, "Fed-SB"
    FEDIT = SchemeName.FEDIT.value, "FedIT"
    FLORA = SchemeName.FLORA.value, "FLoRA"


class Season(HasStatus, SharedFact):
    """One season: what all its plans and rounds have in common."""

    REGION: ClassVar[str] = EVERYWHERE
    MOVES: ClassVar[Moves] = moves({SeasonStatus.OPEN: (SeasonStatus.CLOSED,)})

    season_id = models.CharField(_("season"), max_length=64, unique=True)
    base = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="seasons", verbose_name=_("base"))
    status = models.CharField(_("status"), max_length=16, choices=SeasonStatus.choices, default=SeasonStatus.OPEN)
    scheme = models.CharField(_("scheme"), max_length=16, choices=SchemeChoice.choices, default=SchemeChoice.FFA_LORA)
    mode = models.CharField(_("mode"), max_length=16, choices=SeasonMode.choices, default=SeasonMode.PLAIN)
    settings = models.JSONField(_("settings"), default=dict, editable=False)
    mode_settings = models.JSONField(_("settings of the mode"), default=dict, blank=True)
    slot_sizes = models.JSONField(_("sizes of slots"), default=list, editable=False)
    wanted = models.PositiveIntegerField(_("updates wanted a round"), default=10)
    opened_by = models.CharField(_("opened by"), max_length=150)
    opened_at = models.DateTimeField(_("opened"))
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    why_closed = models.CharField(_("why it was closed"), max_length=200, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("season")
        verbose_name_plural = _("seasons")
        constraints = (
            models.UniqueConstraint(fields=["base"], condition=Q(status="open"), name="season_one_open_per_base"),
            models.CheckConstraint(condition=Q(status__in=SeasonStatus.values), name="season_status_known"),
            models.CheckConstraint(condition=Q(mode__in=SeasonMode.values), name="season_mode_known"),
            models.CheckConstraint(condition=Q(scheme__in=SchemeChoice.values), name="season_scheme_known"),
            models.CheckConstraint(
                condition=Q(status="open", closed_at=None) | Q(status="closed", closed_at__isnull=False),
                name="season_closed_has_time",
            ),
            models.CheckConstraint(condition=Q(wanted__gte=1), name="season_wants_some"),
        )

    def __str__(self) -> str:
        return self.season_id[:8]


class Plan(SharedFact):
    """What is asked of schools that run one release, as it was signed; the newest for a release is the one in force."""

    REGION: ClassVar[str] = EVERYWHERE

    plan_id = models.CharField(_("plan"), max_length=64, unique=True)
    season = models.ForeignKey(Season, on_delete=models.PROTECT, related_name="plans", verbose_name=_("season"))
    start = models.ForeignKey(
        Release,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="plans",
        verbose_name=_("start"),
        help_text=_("The adapter that training starts from; none: the base alone."),
    )
    version = models.PositiveIntegerField(_("version of the start"), default=0)
    envelope = models.BinaryField(editable=False)
    issued_at = models.DateTimeField(_("issued"))
    closes_at = models.DateTimeField(_("begun no later than"))

    class Meta:
        ordering = ("-id",)
        verbose_name = _("plan")
        verbose_name_plural = _("plans")
        constraints = (
            models.CheckConstraint(
                condition=Q(start=None, version=0) | Q(start__isnull=False, version__gte=1),
                name="plan_version_is_of_start",
            ),
        )

    def __str__(self) -> str:
        return self.plan_id[:8]


class RoundStatus(models.TextChoices):
    """How far a round has come."""

    COLLECTING = "collecting", _("collecting")
    AGGREGATING = "aggregating", _("aggregating")
    COMPLETED = "completed", _("completed")
    ABANDONED = "abandoned", _("abandoned")


class Round(HasStatus, SharedFact):
    """One filling of the season's buffer: how many updates it wants, and what became of them."""

    REGION: ClassVar[str] = EVERYWHERE
    # The sign of life comes every few seconds.
    FACT_FIELDS: ClassVar[tuple[str, ...]] = ("season", "release", "version")
    MOVES: ClassVar[Moves] = moves(
        {
            RoundStatus.COLLECTING: (RoundStatus.AGGREGATING, RoundStatus.ABANDONED),
            RoundStatus.AGGREGATING: (RoundStatus.COMPLETED, RoundStatus.ABANDONED),
            RoundStatus.ABANDONED: (RoundStatus.AGGREGATING,),
        }
    )

    round_id = models.CharField(_("round"), max_length=64, unique=True)
    season = models.ForeignKey(Season, on_delete=models.PROTECT, related_name="rounds", verbose_name=_("season"))
    number = models.PositiveIntegerField(_("number"))
    status = models.CharField(_("status"), max_length=16, choices=RoundStatus.choices, default=RoundStatus.COLLECTING)
    wanted = models.PositiveIntegerField(_("updates wanted"))
    minimum = models.PositiveIntegerField(_("updates needed at the deadline"))
    opened_by = models.CharField(_("opened by"), max_length=150)
    opened_at = models.DateTimeField(_("opened"))
    closes_at = models.DateTimeField(_("closes"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    why_ended = models.CharField(_("why it ended"), max_length=200, blank=True)
    attempt_at = models.DateTimeField(_("last sign of life"), null=True, blank=True)
    release = models.OneToOneField(
        Release, on_delete=models.PROTECT, null=True, blank=True, related_name="round", verbose_name=_("release")
    )
    version = models.PositiveIntegerField(
        _("version"),
        null=True,
        blank=True,
        help_text=_("The how-many-th adapter of the season its release is; none until that is signed."),
    )

    class Meta:
        ordering = ("-id",)
        verbose_name = _("round")
        verbose_name_plural = _("rounds")
        constraints = (
            models.UniqueConstraint(
                fields=["season"], condition=Q(status="collecting"), name="round_one_collecting_per_season"
            ),
            models.UniqueConstraint(
                fields=["season"], condition=Q(status="aggregating"), name="round_one_aggregating_per_season"
            ),
            models.UniqueConstraint(fields=["season", "number"], name="round_number_unique"),
            models.UniqueConstraint(fields=["season", "version"], name="round_version_unique"),
            models.CheckConstraint(condition=Q(wanted__gte=F("minimum"), minimum__gte=1), name="round_wants_enough"),
            models.CheckConstraint(
                condition=Q(status__in=["collecting", "aggregating"], ended_at=None)
                | Q(status__in=["completed", "abandoned"], ended_at__isnull=False),
                name="round_ended_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status="completed") | Q(release__isnull=False), name="round_completed_has_release"
            ),
            models.CheckConstraint(
                condition=Q(version=None) | Q(status="completed"), name="round_version_only_if_completed"
            ),
        )

    def __str__(self) -> str:
        return f"{self.season}: {self.number}"


class FlowerRun(models.Model):
    """The Flower run that collects for a round on one SuperLink; forgotten once it has ended."""

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="runs", verbose_name=_("round"))
    superlink = models.CharField(_("SuperLink"), max_length=64, blank=True)
    flwr_run_id = models.CharField(_("Flower run"), max_length=20)

    class Meta:
        ordering = ("round", "superlink")
        verbose_name = _("Flower run")
        verbose_name_plural = _("Flower runs")
        constraints = (models.UniqueConstraint(fields=["round", "superlink"], name="run_one_per_superlink"),)

    def __str__(self) -> str:
        return self.flwr_run_id


class UpdateStatus(models.TextChoices):
    """What the centre made of an update."""

    ACCEPTED = "accepted", _("accepted")
    REFUSED = "refused", _("refused")
    QUARANTINED = "quarantined", _("quarantined")
    WITHDRAWN = "withdrawn", _("withdrawn")


KEPT = (UpdateStatus.ACCEPTED, UpdateStatus.QUARANTINED, UpdateStatus.WITHDRAWN)


class UpdateQuerySet(models.QuerySet["Update"]):
    """Named choices of updates."""

    def accepted(self) -> UpdateQuerySet:
        """Updates that count, in the order in which they were accepted."""
        return self.filter(status=UpdateStatus.ACCEPTED).order_by("pk")

    def kept(self) -> UpdateQuerySet:
        """Updates that once passed every check, so their plan is answered; only withdrawn ones' bytes are gone."""
        return self.filter(status__in=KEPT)


class Update(HasStatus):
    """One school's answer to a plan, as it was received and judged, and the round that counts it."""

    REGION: ClassVar[str] = "node__school__region"
    MOVES: ClassVar[Moves] = moves(
        {
            UpdateStatus.ACCEPTED: (UpdateStatus.QUARANTINED, UpdateStatus.WITHDRAWN),
            UpdateStatus.QUARANTINED: (UpdateStatus.ACCEPTED, UpdateStatus.REFUSED, UpdateStatus.WITHDRAWN),
        }
    )

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="updates", verbose_name=_("plan"))
    round = models.ForeignKey(
        Round, on_delete=models.PROTECT, null=True, blank=True, related_name="updates", verbose_name=_("round")
    )
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="updates", verbose_name=_("school PC"))
    counter = models.PositiveBigIntegerField(_("counter"))
    status = models.CharField(_("status"), max_length=16, choices=UpdateStatus.choices)
    code = models.CharField(_("code"), max_length=64, blank=True)
    digest = models.CharField(_("digest"), max_length=64, db_index=True)
    size_bytes = models.PositiveBigIntegerField(_("size, bytes"))
    variant = models.CharField(_("variant"), max_length=20, blank=True)
    labels = models.PositiveIntegerField(_("labels"), default=0)
    staleness = models.PositiveIntegerField(_("staleness"), default=0)
    norm = models.FloatField(_("norm"), null=True, blank=True)
    loss_before = models.FloatField(_("loss before"), null=True, blank=True)
    loss_after = models.FloatField(_("loss after"), null=True, blank=True)
    scores = models.JSONField(_("scores on held-out labels"), null=True, blank=True)
    figures = models.JSONField(_("figures"), default=dict, blank=True)
    received_at = models.DateTimeField(_("received"))

    objects = UpdateQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name = _("update")
        verbose_name_plural = _("updates")
        constraints = (
            models.UniqueConstraint(fields=["plan", "node", "digest"], name="update_once_per_digest"),
            models.UniqueConstraint(
                fields=["plan", "node"],
                condition=Q(status__in=["accepted", "quarantined", "withdrawn"]),
                name="update_one_kept_per_plan",
            ),
            models.CheckConstraint(condition=Q(status__in=UpdateStatus.values), name="update_status_known"),
            models.CheckConstraint(
                condition=Q(status="accepted", code="") | (~Q(status="accepted") & ~Q(code="")),
                name="update_set_aside_has_code",
            ),
            models.CheckConstraint(
                condition=~Q(status="accepted") | Q(round__isnull=False), name="update_accepted_is_counted"
            ),
        )

    def __str__(self) -> str:
        return f"{self.node}: {self.get_status_display()}"


class Offer(models.Model):
    """That a plan reached a node, and when the centre first heard that it had been learnt."""

    REGION: ClassVar[str] = "node__school__region"

    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="offers", verbose_name=_("plan"))
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="offers", verbose_name=_("school PC"))
    offered_at = models.DateTimeField(_("offered"))
    trained_at = models.DateTimeField(_("heard that it was learnt"), null=True, blank=True)

    class Meta:
        verbose_name = _("offer")
        verbose_name_plural = _("offers")
        constraints = (models.UniqueConstraint(fields=["plan", "node"], name="offer_once"),)

    def __str__(self) -> str:
        return f"{self.node}: {self.plan}"


class Lease(models.Model):
    """The right of one node to connect its SuperNode for a round until a time."""

    REGION: ClassVar[str] = "node__school__region"

    node = models.OneToOneField(Node, on_delete=models.CASCADE, related_name="lease", verbose_name=_("school PC"))
    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="leases", verbose_name=_("round"))
    superlink = models.CharField(_("SuperLink"), max_length=64, blank=True)
    expires_at = models.DateTimeField(_("until"), db_index=True)

    class Meta:
        ordering = ("-expires_at",)
        verbose_name = _("lease")
        verbose_name_plural = _("leases")

    def __str__(self) -> str:
        return str(self.node)


class PrivacyCharge(AppendOnly):
    """What one private round has cost one school; never changed, and never taken back."""

    REGION: ClassVar[str] = "school__region"

    school = models.ForeignKey(
        School, on_delete=models.PROTECT, related_name="privacy_charges", verbose_name=_("school")
    )
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="charges", verbose_name=_("round"))
    noise_multiplier = models.FloatField(_("noise multiplier"))
    clip_norm = models.FloatField(_("clipped to"))
    sigma = models.FloatField(_("standard deviation of the noise"))
    rounds = models.PositiveIntegerField(_("private rounds so far"))
    epsilon = models.FloatField(_("ε so far"))
    delta = models.FloatField(_("at δ"))
    charged_at = models.DateTimeField(_("charged"))

    class Meta:
        ordering = ("-id",)
        verbose_name = _("privacy charge")
        verbose_name_plural = _("privacy ledger")
        constraints = (
            models.UniqueConstraint(fields=["school", "round"], name="privacy_charge_once_a_round"),
            models.CheckConstraint(
                condition=Q(noise_multiplier__gt=0, clip_norm__gt=0, sigma__gt=0, epsilon__gt=0, rounds__gte=1),
                name="privacy_charge_costs",
            ),
        )

    def __str__(self) -> str:
        return f"{self.school}: ε {self.epsilon:.2f}"


class NoiseSeed(models.Model):
    """The secret that a private round's noise is drawn from, until its sum is made."""

    round = models.OneToOneField(Round, on_delete=models.CASCADE, related_name="noise", verbose_name=_("round"))
    value = models.BinaryField(editable=False)

    class Meta:
        verbose_name = _("secret of a round's noise")
        verbose_name_plural = _("secrets of rounds' noise")

    def __str__(self) -> str:
        return str(self.round)


class OptOut(SharedFact):
    """That a school has withdrawn from learning, who said so and why; the row goes when it comes back."""

    REGION: ClassVar[str] = "school__region"

    school = models.OneToOneField(School, on_delete=models.PROTECT, related_name="opt_out", verbose_name=_("school"))
    actor = models.CharField(_("who"), max_length=150)
    reason = models.CharField(_("why"), max_length=200, blank=True)
    at = models.DateTimeField(_("withdrawn"))

    class Meta:
        ordering = ("school__name",)
        verbose_name = _("withdrawn school")
        verbose_name_plural = _("withdrawn schools")

    def __str__(self) -> str:
        return str(self.school)

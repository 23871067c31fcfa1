"""Rollouts, their waves, each node's assignment, and the director's newest word to each node."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from central.releases.models import Release
from central.rollouts.membership import WaveScope, WaveSize
from central.rollouts.models_filter import SchoolFilter
from central.rollouts.models_reach import TouchesRegions
from central.rollouts.quality import QualityRules
from central.rollouts.targeting import Target
from central.rollouts.verdict import WaveRules
from central.schools.models import Node, School
from central.schools.models_facts import SharedFact
from central.schools.transitions import HasStatus, Moves, moves
from federation.wire.canonical import from_plain

__all__ = ["Assignment", "Directive", "Rollout", "SchoolFilter", "Wave"]

DAY_SECONDS = 86_400


class RolloutStatus(models.TextChoices):
    """How far a rollout has come."""

    DRAFT = "draft", _("draft")
    PENDING_APPROVAL = "pending_approval", _("awaiting approval")
    REJECTED = "rejected", _("rejected")
    SCHEDULED = "scheduled", _("scheduled")
    RUNNING = "running", _("running")
    PAUSED = "paused", _("paused")
    ROLLING_BACK = "rolling_back", _("rolling back")
    ROLLED_BACK = "rolled_back", _("rolled back")
    ABORTED = "aborted", _("aborted")
    COMPLETED = "completed", _("completed")


class PauseReason(models.TextChoices):
    """Why a rollout is paused."""

    MANUAL = "manual", _("by hand")
    ERROR_THRESHOLD = "error_threshold", _("too many failures")
    INCONCLUSIVE = "inconclusive", _("too few reports")
    REVOKED = "revoked", _("the release was revoked")
    QUALITY = "quality", _("the ratings got worse")


class RolloutKind(models.TextChoices):
    """What a rollout brings."""

    ADAPTER = "adapter", _("adapter")
    BASE = "base", _("base")
    ROLLBACK = "rollback", _("return to an older release")


JOINABLE = (RolloutStatus.RUNNING, RolloutStatus.COMPLETED)
"""Schools that come late may join a rollout in these."""


class RolloutQuerySet(models.QuerySet["Rollout"]):
    """Named choices of rollouts."""

    def under_way(self) -> RolloutQuerySet:
        """Rollouts that have started and may still offer their release to somebody new."""
        return self.filter(status__in=(RolloutStatus.RUNNING, RolloutStatus.PAUSED))

    def joinable(self) -> RolloutQuerySet:
        """Rollouts that schools which come late may join."""
        return self.filter(status__in=JOINABLE)

    def after(self, rollout: Rollout) -> RolloutQuerySet:
        """Rollouts that started after this one: of two for a school, the one that started last counts."""
        return self.filter(Q(started_at__gt=rollout.started_at) | Q(started_at=rollout.started_at, pk__gt=rollout.pk))


class Rollout(TouchesRegions, HasStatus, SharedFact):
    """The plan to bring one release to schools, wave by wave."""

    MOVES: ClassVar[Moves] = moves(
        {
            RolloutStatus.DRAFT: (RolloutStatus.PENDING_APPROVAL, RolloutStatus.ABORTED),
            RolloutStatus.PENDING_APPROVAL: (RolloutStatus.REJECTED, RolloutStatus.SCHEDULED, RolloutStatus.ABORTED),
            RolloutStatus.SCHEDULED: (RolloutStatus.RUNNING, RolloutStatus.ABORTED),
            RolloutStatus.RUNNING: (
                RolloutStatus.PAUSED,
                RolloutStatus.ROLLING_BACK,
                RolloutStatus.ABORTED,
                RolloutStatus.COMPLETED,
            ),
            RolloutStatus.PAUSED: (RolloutStatus.RUNNING, RolloutStatus.ROLLING_BACK, RolloutStatus.ABORTED),
            RolloutStatus.ROLLING_BACK: (RolloutStatus.ROLLED_BACK, RolloutStatus.ABORTED),
            # What goes wrong may show weeks after the last wave.
            RolloutStatus.COMPLETED: (RolloutStatus.ROLLING_BACK,),
        }
    )

    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="rollouts", verbose_name=_("release"))
    kind = models.CharField(_("kind"), max_length=8, choices=RolloutKind.choices, default=RolloutKind.ADAPTER)
    status = models.CharField(_("status"), max_length=20, choices=RolloutStatus.choices, default=RolloutStatus.DRAFT)
    marks = models.JSONField(_("marks of the schools"), default=dict, blank=True)
    is_forced = models.BooleanField(
        _("forced"), default=False, help_text=_("Schools do not wait for their hours; for urgent corrections.")
    )
    activates_at = models.DateTimeField(
        _("schools change over on"), null=True, blank=True, help_text=_("Until then they only fetch the release.")
    )
    window_opens_at = models.TimeField(
        _("change over from"), null=True, blank=True, help_text=_("By the school's own clock.")
    )
    window_closes_at = models.TimeField(_("change over until"), null=True, blank=True)
    failure_budget = models.PositiveIntegerField(
        _("failures allowed in all"),
        null=True,
        blank=True,
        help_text=_("More stop the rollout at once; empty: as many as its open waves allow together."),
    )
    quality_margin = models.FloatField(_("ratings may fall by"), default=0.05)
    quality_min_ratings = models.PositiveIntegerField(_("ratings needed to compare"), default=30)
    pause_reason = models.CharField(_("paused because"), max_length=20, choices=PauseReason.choices, blank=True)
    created_by = models.CharField(_("made by"), max_length=150)
    approved_by = models.CharField(_("approved by"), max_length=150, blank=True)
    created_at = models.DateTimeField(_("made"))
    starts_at = models.DateTimeField(_("not before"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = RolloutQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name = _("rollout")
        verbose_name_plural = _("rollouts")
        constraints = (
            models.CheckConstraint(condition=~Q(approved_by=F("created_by")), name="rollout_approver_is_another"),
            models.CheckConstraint(
                condition=Q(status="paused") & ~Q(pause_reason="") | ~Q(status="paused") & Q(pause_reason=""),
                name="rollout_paused_has_reason",
            ),
            models.CheckConstraint(condition=Q(status__in=RolloutStatus.values), name="rollout_status_known"),
            models.CheckConstraint(condition=Q(kind__in=RolloutKind.values), name="rollout_kind_known"),
            models.CheckConstraint(
                condition=Q(window_opens_at=None, window_closes_at=None)
                | Q(window_opens_at__isnull=False, window_closes_at__isnull=False),
                name="rollout_window_has_both_ends",
            ),
            models.CheckConstraint(
                condition=Q(quality_margin__gte=0.0, quality_margin__lte=1.0), name="rollout_margin_is_a_share"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["running", "paused", "rolling_back", "rolled_back", "completed"])
                | Q(started_at__isnull=False),
                name="rollout_running_has_started",
            ),
        )

    def __str__(self) -> str:
        return f"№{self.pk}: {self.release.title}"

    def target(self) -> Target:
        """Return the marks that schools must have."""
        return from_plain(Target, self.marks)

    @property
    def is_final(self) -> bool:
        """Tell whether nothing comes by itself any more; a completed rollout may still be taken back."""
        return super().is_final or self.status == RolloutStatus.COMPLETED

    @property
    def is_offerable(self) -> bool:
        """Tell whether the release, and the base that it stands on, are in force."""
        return self.release.is_in_force and (self.release.base is None or self.release.base.is_in_force)

    def scopes(self) -> list[WaveScope]:
        """Return whom each wave is for."""
        return [wave.scope() for wave in self.waves.prefetch_related("schools")]

    def quality_rules(self) -> QualityRules:
        """Return by how much ratings may fall."""
        return QualityRules(margin=self.quality_margin, min_ratings=self.quality_min_ratings)


class WaveStatus(models.TextChoices):
    """How far a wave has come."""

    PENDING = "pending", _("pending")
    OPEN = "open", _("open")
    SOAKING = "soaking", _("soaking")
    PASSED = "passed", _("passed")
    FAILED = "failed", _("failed")
    INCONCLUSIVE = "inconclusive", _("inconclusive")


class Wave(HasStatus, SharedFact):
    """One step of a rollout: whom it is for, and when it has gone well."""

    MOVES: ClassVar[Moves] = moves(
        {
            WaveStatus.PENDING: (WaveStatus.OPEN,),
            WaveStatus.OPEN: (WaveStatus.SOAKING, WaveStatus.FAILED, WaveStatus.INCONCLUSIVE),
            WaveStatus.SOAKING: (WaveStatus.PASSED, WaveStatus.FAILED, WaveStatus.INCONCLUSIVE),
            WaveStatus.INCONCLUSIVE: (WaveStatus.OPEN, WaveStatus.PASSED),
        }
    )

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="waves", verbose_name=_("rollout"))
    number = models.PositiveSmallIntegerField(_("number"))
    name = models.CharField(_("name"), max_length=80)
    schools = models.ManyToManyField(School, blank=True, related_name="waves", verbose_name=_("schools"))
    percent = models.PositiveSmallIntegerField(
        _("share of all nodes, %"), default=0, validators=[MinValueValidator(0), MaxValueValidator(100)]
    )
    count = models.PositiveIntegerField(_("so many more nodes"), default=0)
    # Frozen when the rollout starts: whoever's place is below it and below no earlier wave's is in this one.
    place_below = models.FloatField(_("places below"), default=0.0, editable=False)
    status = models.CharField(_("status"), max_length=16, choices=WaveStatus.choices, default=WaveStatus.PENDING)
    min_committed = models.PositiveIntegerField(_("committed at least"), default=1)
    pass_share = models.FloatField(_("share of contacted that must commit"), default=0.9)
    failures_allowed = models.PositiveIntegerField(_("failures allowed"), default=0)
    soak_seconds = models.PositiveIntegerField(_("soak, seconds"), default=2 * DAY_SECONDS)
    deadline_seconds = models.PositiveIntegerField(_("deadline, seconds"), default=21 * DAY_SECONDS)
    silent_share = models.FloatField(_("share of contacted that may fall silent"), default=0.25)
    opened_at = models.DateTimeField(_("opened"), null=True, blank=True)
    soaking_since = models.DateTimeField(_("soaking since"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    verdict_reason = models.CharField(_("verdict"), max_length=80, blank=True)
    counts = models.JSONField(_("counts at the verdict"), default=dict, blank=True)
    quality = models.JSONField(_("ratings at the verdict"), default=dict, blank=True)

    class Meta:
        ordering = ("rollout_id", "number")
        verbose_name = _("wave")
        verbose_name_plural = _("waves")
        constraints = (
            models.UniqueConstraint(fields=["rollout", "number"], name="wave_number_unique"),
            models.CheckConstraint(condition=Q(percent__lte=100), name="wave_percent_in_range"),
            models.CheckConstraint(condition=Q(percent=0) | Q(count=0), name="wave_has_share_or_count"),
            models.CheckConstraint(
                condition=Q(pass_share__gte=0.0, pass_share__lte=1.0, silent_share__gte=0.0, silent_share__lte=1.0),
                name="wave_shares_are_shares",
            ),
            models.CheckConstraint(
                condition=Q(status="pending") | Q(opened_at__isnull=False), name="wave_opened_has_time"
            ),
            models.CheckConstraint(condition=Q(status__in=WaveStatus.values), name="wave_status_known"),
        )

    def __str__(self) -> str:
        return f"{self.number}. {self.name}"

    @classmethod
    def in_region(cls, region: str) -> Q:
        """Return which waves belong to rollouts that touch the region."""
        return Q(rollout__in=Rollout.objects.filter(Rollout.in_region(region)).order_by().values("pk"))

    @classmethod
    def reaches_beyond(cls, pks: Sequence[object], region: str) -> bool:
        """Tell whether the rollout of one of the waves reaches beyond the region."""
        return Rollout.reaches_beyond(list(cls.objects.filter(pk__in=pks).values_list("rollout", flat=True)), region)

    def rules(self) -> WaveRules:
        """Return the thresholds by which the wave is judged."""
        return WaveRules(
            min_committed=self.min_committed,
            pass_share=self.pass_share,
            failures_allowed=self.failures_allowed,
            soak=timedelta(seconds=self.soak_seconds),
            deadline=timedelta(seconds=self.deadline_seconds),
            silent_share=self.silent_share,
        )

    def scope(self) -> WaveScope:
        """Return whom the wave is for."""
        school_ids = frozenset(school.pk for school in self.schools.all())
        return WaveScope(number=self.number, school_ids=school_ids, place_below=self.place_below)

    def size(self) -> WaveSize:
        """Return how large the wave was asked to be."""
        return WaveSize(number=self.number, percent=self.percent, count=self.count)


class AssignmentStatus(models.TextChoices):
    """How far a node has come with the release that it was assigned."""

    PENDING = "pending", _("pending")
    OFFERED = "offered", _("offered")
    DOWNLOADING = "downloading", _("downloading")
    STAGED = "staged", _("staged")
    TESTING = "testing", _("testing")
    TRIAL = "trial", _("on trial")
    COMMITTED = "committed", _("committed")
    FAILED_DOWNLOAD = "failed_download", _("download failed")
    FAILED_VERIFY = "failed_verify", _("verification failed")
    REVERTED = "reverted", _("reverted")
    SKIPPED = "skipped", _("skipped")
    CANCELLED = "cancelled", _("cancelled")
    SUPERSEDED = "superseded", _("superseded")


PATH = (
    AssignmentStatus.PENDING,
    AssignmentStatus.OFFERED,
    AssignmentStatus.DOWNLOADING,
    AssignmentStatus.STAGED,
    AssignmentStatus.TESTING,
    AssignmentStatus.TRIAL,
    AssignmentStatus.COMMITTED,
)
FAILURES = (AssignmentStatus.FAILED_DOWNLOAD, AssignmentStatus.FAILED_VERIFY, AssignmentStatus.REVERTED)
ON_THE_WAY = PATH[:-1]
GONE = (AssignmentStatus.SUPERSEDED, AssignmentStatus.CANCELLED)
_ENDINGS = (*FAILURES, AssignmentStatus.SKIPPED, *GONE)


def _assignment_moves() -> Moves:
    # Forward skips are legal, because reports come batched.
    table: dict[str, tuple[str, ...]] = {
        status: (*PATH[place + 1 :], *_ENDINGS) for place, status in enumerate(ON_THE_WAY)
    }
    table[AssignmentStatus.FAILED_DOWNLOAD] = (*PATH[2:], *_ENDINGS)
    table[AssignmentStatus.COMMITTED] = (AssignmentStatus.REVERTED, AssignmentStatus.SUPERSEDED)
    return moves(table)


class AssignmentQuerySet(models.QuerySet["Assignment"]):
    """Named choices of assignments."""

    def locked(self) -> AssignmentQuerySet:
        """Assignments that nobody else changes until the transaction ends; all lock in the order of their ids."""
        return self.select_for_update(of=("self",), no_key=True).order_by("pk")

    def on_the_way(self) -> AssignmentQuerySet:
        """Assignments that have not ended."""
        return self.filter(status__in=ON_THE_WAY)

    def committed(self) -> AssignmentQuerySet:
        """Assignments whose release has run at its school."""
        return self.filter(status=AssignmentStatus.COMMITTED)

    def has_run(self) -> AssignmentQuerySet:
        """Assignments whose release has run at its school, whatever came after it."""
        ran = (AssignmentStatus.COMMITTED, AssignmentStatus.SUPERSEDED)
        return self.filter(status__in=ran, has_reported_commit=True)

    def failed(self) -> AssignmentQuerySet:
        """Assignments that ended badly."""
        return self.filter(status__in=FAILURES)


class Assignment(HasStatus):
    """One node's part in a rollout."""

    REGION: ClassVar[str] = "node__school__region"
    MOVES: ClassVar[Moves] = _assignment_moves()

    rollout = models.ForeignKey(
        Rollout, on_delete=models.CASCADE, related_name="assignments", verbose_name=_("rollout")
    )
    wave = models.ForeignKey(Wave, on_delete=models.CASCADE, related_name="assignments", verbose_name=_("wave"))
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="assignments", verbose_name=_("school PC"))
    status = models.CharField(
        _("status"), max_length=20, choices=AssignmentStatus.choices, default=AssignmentStatus.PENDING
    )
    sequence = models.PositiveBigIntegerField(_("director's sequence"), null=True, blank=True)
    variant = models.CharField(_("variant"), max_length=20, blank=True)
    previous_release = models.CharField(_("release before"), max_length=64, blank=True)
    has_reported_commit = models.BooleanField(_("says that it committed"), default=False)
    error_code = models.CharField(_("error"), max_length=64, blank=True)
    bytes_fetched = models.BigIntegerField(_("bytes fetched"), default=0)
    created_at = models.DateTimeField(_("made"))
    offered_at = models.DateTimeField(_("offered"), null=True, blank=True)
    reported_at = models.DateTimeField(_("last report"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = AssignmentQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name = _("assignment")
        verbose_name_plural = _("assignments")
        constraints = (
            models.UniqueConstraint(fields=["rollout", "node"], name="assignment_rollout_node_unique"),
            models.UniqueConstraint(
                fields=["node"], condition=Q(status__in=list(ON_THE_WAY)), name="assignment_one_on_the_way"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "cancelled", "superseded"]) | Q(sequence__isnull=False),
                name="assignment_offered_has_sequence",
            ),
            models.CheckConstraint(condition=Q(status__in=AssignmentStatus.values), name="assignment_status_known"),
        )

    def __str__(self) -> str:
        return f"{self.node}: {self.get_status_display()}"


class Directive(models.Model):
    """The newest signed word to a node, as the bytes that were signed; the sequence grows with each new word."""

    REGION: ClassVar[str] = "node__school__region"

    node = models.OneToOneField(Node, on_delete=models.CASCADE, related_name="directive", verbose_name=_("school PC"))
    sequence = models.PositiveBigIntegerField(_("sequence"), default=0)
    release = models.CharField(_("release"), max_length=64, blank=True)
    rollout = models.CharField(_("rollout"), max_length=20, blank=True)
    wave = models.PositiveSmallIntegerField(_("wave"), default=0)
    waiting_reason = models.CharField(_("waits because"), max_length=40, blank=True)
    variant = models.CharField(_("variant"), max_length=20, blank=True)
    program = models.CharField(_("program"), max_length=64, blank=True)
    envelope = models.BinaryField(editable=False)
    issued_at = models.DateTimeField(_("issued"))

    class Meta:
        verbose_name = _("directive")
        verbose_name_plural = _("directives")

    def __str__(self) -> str:
        return f"{self.node}: {self.sequence}"

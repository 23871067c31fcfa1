"""Rollouts, their waves, each node's assignment, and the director's newest word to each node."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from central.releases.models import Release
from central.rollouts.membership import WaveScope
from central.rollouts.verdict import WaveRules
from central.schools.models import Node, School
from central.schools.transitions import HasStatus, Moves, moves

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


class Rollout(HasStatus):
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
        }
    )

    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="rollouts", verbose_name=_("release"))
    status = models.CharField(_("status"), max_length=20, choices=RolloutStatus.choices, default=RolloutStatus.DRAFT)
    pause_reason = models.CharField(_("paused because"), max_length=20, choices=PauseReason.choices, blank=True)
    created_by = models.CharField(_("made by"), max_length=150)
    approved_by = models.CharField(_("approved by"), max_length=150, blank=True)
    created_at = models.DateTimeField(_("made"))
    starts_at = models.DateTimeField(_("not before"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

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
        )

    def __str__(self) -> str:
        return f"№{self.pk}: {self.release.title}"

    def scopes(self) -> list[WaveScope]:
        """Return whom each wave is for."""
        return [wave.scope() for wave in self.waves.prefetch_related("schools")]


class WaveStatus(models.TextChoices):
    """How far a wave has come."""

    PENDING = "pending", _("pending")
    OPEN = "open", _("open")
    SOAKING = "soaking", _("soaking")
    PASSED = "passed", _("passed")
    FAILED = "failed", _("failed")
    INCONCLUSIVE = "inconclusive", _("inconclusive")


class Wave(HasStatus):
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
    status = models.CharField(_("status"), max_length=16, choices=WaveStatus.choices, default=WaveStatus.PENDING)
    min_committed = models.PositiveIntegerField(_("committed at least"), default=1)
    pass_share = models.FloatField(_("share of contacted that must commit"), default=0.9)
    failures_allowed = models.PositiveIntegerField(_("failures allowed"), default=0)
    soak_seconds = models.PositiveIntegerField(_("soak, seconds"), default=2 * DAY_SECONDS)
    deadline_seconds = models.PositiveIntegerField(_("deadline, seconds"), default=21 * DAY_SECONDS)
    opened_at = models.DateTimeField(_("opened"), null=True, blank=True)
    soaking_since = models.DateTimeField(_("soaking since"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    verdict_reason = models.CharField(_("verdict"), max_length=80, blank=True)
    counts = models.JSONField(_("counts at the verdict"), default=dict, blank=True)

    class Meta:
        ordering = ("rollout_id", "number")
        verbose_name = _("wave")
        verbose_name_plural = _("waves")
        constraints = (
            models.UniqueConstraint(fields=["rollout", "number"], name="wave_number_unique"),
            models.CheckConstraint(condition=Q(percent__lte=100), name="wave_percent_in_range"),
            models.CheckConstraint(
                condition=Q(status="pending") | Q(opened_at__isnull=False), name="wave_opened_has_time"
            ),
            models.CheckConstraint(condition=Q(status__in=WaveStatus.values), name="wave_status_known"),
        )

    def __str__(self) -> str:
        return f"{self.number}. {self.name}"

    def rules(self) -> WaveRules:
        """Return the thresholds by which the wave is judged."""
        return WaveRules(
            min_committed=self.min_committed,
            pass_share=self.pass_share,
            failures_allowed=self.failures_allowed,
            soak=timedelta(seconds=self.soak_seconds),
            deadline=timedelta(seconds=self.deadline_seconds),
        )

    def scope(self) -> WaveScope:
        """Return whom the wave is for."""
        school_ids = frozenset(school.pk for school in self.schools.all())
        return WaveScope(number=self.number, school_ids=school_ids, percent=self.percent)


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

    def on_the_way(self) -> AssignmentQuerySet:
        """Assignments that have not ended."""
        return self.filter(status__in=ON_THE_WAY)

    def contacted(self) -> AssignmentQuerySet:
        """Assignments that count in a wave's denominator: offered in a contact and neither skipped nor taken back."""
        return self.filter(status__in=(*PATH[1:], *FAILURES))

    def committed(self) -> AssignmentQuerySet:
        """Assignments whose release has run at its school."""
        return self.filter(status=AssignmentStatus.COMMITTED)

    def failed(self) -> AssignmentQuerySet:
        """Assignments that ended badly."""
        return self.filter(status__in=FAILURES)


class Assignment(HasStatus):
    """One node's part in a rollout."""

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

    node = models.OneToOneField(Node, on_delete=models.CASCADE, related_name="directive", verbose_name=_("school PC"))
    sequence = models.PositiveBigIntegerField(_("sequence"), default=0)
    release = models.CharField(_("release"), max_length=64, blank=True)
    rollout = models.CharField(_("rollout"), max_length=20, blank=True)
    wave = models.PositiveSmallIntegerField(_("wave"), default=0)
    waiting_reason = models.CharField(_("waits because"), max_length=40, blank=True)
    variant = models.CharField(_("variant"), max_length=20, blank=True)
    envelope = models.BinaryField(editable=False)
    issued_at = models.DateTimeField(_("issued"))

    class Meta:
        verbose_name = _("directive")
        verbose_name_plural = _("directives")

    def __str__(self) -> str:
        return f"{self.node}: {self.sequence}"

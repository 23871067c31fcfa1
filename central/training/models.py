"""Rounds, the updates that schools hand in, and the leases by which they may connect to do so."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from central.releases.models import Release
from central.schools.models import Node
from central.schools.transitions import HasStatus, Moves, moves


class RoundStatus(models.TextChoices):
    """How far a round has come."""

    COLLECTING = "collecting", _("collecting")
    AGGREGATING = "aggregating", _("aggregating")
    COMPLETED = "completed", _("completed")
    ABANDONED = "abandoned", _("abandoned")


class Round(HasStatus):
    """One round: the plan as it was signed, how many updates it wants, and what became of it."""

    MOVES: ClassVar[Moves] = moves(
        {
            RoundStatus.COLLECTING: (RoundStatus.AGGREGATING, RoundStatus.ABANDONED),
            RoundStatus.AGGREGATING: (RoundStatus.COMPLETED, RoundStatus.ABANDONED),
        }
    )

    plan_id = models.CharField(_("plan"), max_length=64, unique=True)
    base = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="rounds", verbose_name=_("base"))
    status = models.CharField(_("status"), max_length=16, choices=RoundStatus.choices, default=RoundStatus.COLLECTING)
    plan_envelope = models.BinaryField(editable=False)
    slot_columns = models.JSONField(_("columns by slot"), default=dict, editable=False)
    server_scale = models.FloatField(_("server's scale"))
    wanted = models.PositiveIntegerField(_("updates wanted"))
    minimum = models.PositiveIntegerField(_("updates needed at the deadline"))
    opened_by = models.CharField(_("opened by"), max_length=150)
    opened_at = models.DateTimeField(_("opened"))
    closes_at = models.DateTimeField(_("closes"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    why_ended = models.CharField(_("why it ended"), max_length=200, blank=True)
    attempt_at = models.DateTimeField(_("last sign of life"), null=True, blank=True)
    flwr_run_id = models.CharField(_("Flower run"), max_length=20, blank=True)
    release = models.OneToOneField(
        Release, on_delete=models.PROTECT, null=True, blank=True, related_name="round", verbose_name=_("release")
    )

    class Meta:
        ordering = ("-id",)
        verbose_name = _("round")
        verbose_name_plural = _("rounds")
        constraints = (
            models.UniqueConstraint(
                fields=["base"], condition=Q(status="collecting"), name="round_one_collecting_per_base"
            ),
            models.CheckConstraint(condition=Q(wanted__gte=F("minimum"), minimum__gte=1), name="round_wants_enough"),
            models.CheckConstraint(
                condition=Q(status__in=["collecting", "aggregating"], ended_at=None)
                | Q(status__in=["completed", "abandoned"], ended_at__isnull=False),
                name="round_ended_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status="completed") | Q(release__isnull=False), name="round_completed_has_release"
            ),
        )

    def __str__(self) -> str:
        return self.plan_id


class UpdateStatus(models.TextChoices):
    """What the centre made of an update."""

    ACCEPTED = "accepted", _("accepted")
    REFUSED = "refused", _("refused")


class Update(models.Model):
    """One school's update for one round, as it was received and judged."""

    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="updates", verbose_name=_("round"))
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="updates", verbose_name=_("school PC"))
    counter = models.PositiveBigIntegerField(_("counter"))
    status = models.CharField(_("status"), max_length=16, choices=UpdateStatus.choices)
    code = models.CharField(_("code"), max_length=64, blank=True)
    digest = models.CharField(_("digest"), max_length=64, db_index=True)
    size_bytes = models.PositiveBigIntegerField(_("size, bytes"))
    variant = models.CharField(_("variant"), max_length=20, blank=True)
    labels = models.PositiveIntegerField(_("labels"), default=0)
    norm = models.FloatField(_("norm"), null=True, blank=True)
    loss_before = models.FloatField(_("loss before"), null=True, blank=True)
    loss_after = models.FloatField(_("loss after"), null=True, blank=True)
    received_at = models.DateTimeField(_("received"))

    class Meta:
        ordering = ("-id",)
        verbose_name = _("update")
        verbose_name_plural = _("updates")
        constraints = (
            models.UniqueConstraint(fields=["round", "node", "digest"], name="update_once_per_digest"),
            models.UniqueConstraint(
                fields=["round", "node"], condition=Q(status="accepted"), name="update_one_accepted_per_node"
            ),
            models.CheckConstraint(
                condition=Q(status="accepted", code="") | (Q(status="refused") & ~Q(code="")),
                name="update_refused_has_code",
            ),
        )

    def __str__(self) -> str:
        return f"{self.node}: {self.get_status_display()}"


class Lease(models.Model):
    """The right of one node to connect its SuperNode for a round until a time."""

    node = models.OneToOneField(Node, on_delete=models.CASCADE, related_name="lease", verbose_name=_("school PC"))
    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="leases", verbose_name=_("round"))
    expires_at = models.DateTimeField(_("until"), db_index=True)

    class Meta:
        ordering = ("-expires_at",)
        verbose_name = _("lease")
        verbose_name_plural = _("leases")

    def __str__(self) -> str:
        return str(self.node)

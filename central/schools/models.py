"""Schools, their PCs (nodes), the codes that claim them, and the credentials of open sessions."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from central.schools.models_account import Account
from central.schools.models_audit import AuditEvent, AuditLink
from central.schools.models_facts import FactsVersion
from central.schools.reach import EVERYWHERE
from central.schools.rhythm import Rhythm
from central.schools.transitions import HasStatus, Moves, moves

__all__ = [
    "Account",
    "AuditEvent",
    "AuditLink",
    "ClaimCode",
    "FactsVersion",
    "Node",
    "Nonce",
    "RetiredKey",
    "School",
    "SessionToken",
    "Tag",
]


class Tag(models.Model):
    """A word by which the ministry groups schools across regions, such as a pilot."""

    REGION: ClassVar[str] = EVERYWHERE

    name = models.CharField(_("name"), max_length=60, unique=True)

    class Meta:
        ordering = ("name",)
        verbose_name = _("tag")
        verbose_name_plural = _("tags")

    def __str__(self) -> str:
        return self.name


class SchoolQuerySet(models.QuerySet["School"]):
    """Named choices of schools."""

    def without_pc(self) -> SchoolQuerySet:
        """Schools where no PC has used a claim code yet, or only ones that were revoked since."""
        taken = Node.objects.exclude(status__in=(NodeStatus.INVITED, NodeStatus.REVOKED)).values("school")
        return self.exclude(pk__in=taken)


class School(models.Model):
    """A school that the ministry knows."""

    REGION: ClassVar[str] = "region"

    name = models.CharField(_("name"), max_length=200, unique=True)
    region = models.CharField(_("region"), max_length=120, blank=True, db_index=True)
    district = models.CharField(_("district"), max_length=120, blank=True, db_index=True)
    kind = models.CharField(
        _("kind of school"),
        max_length=60,
        blank=True,
        db_index=True,
        help_text=_("In the ministry's own words, such as: gymnasium."),
    )
    tags = models.ManyToManyField(Tag, blank=True, related_name="schools", verbose_name=_("tags"))
    is_preregistered = models.BooleanField(
        _("pre-registered"), default=True, help_text=_("A PC that claims this school becomes active at once.")
    )
    created_at = models.DateTimeField(_("created"))

    objects = SchoolQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        verbose_name = _("school")
        verbose_name_plural = _("schools")

    def __str__(self) -> str:
        return self.name


class NodeStatus(models.TextChoices):
    """Where a school's PC stands with the centre."""

    INVITED = "invited", _("invited")
    CLAIMED = "claimed", _("claimed")
    ACTIVE = "active", _("active")
    SUSPENDED = "suspended", _("suspended")
    REVOKED = "revoked", _("revoked")


class NodeQuerySet(models.QuerySet["Node"]):
    """Named choices of nodes."""

    def active(self) -> NodeQuerySet:
        """Nodes that may sync."""
        return self.filter(status=NodeStatus.ACTIVE)


class Node(HasStatus):
    """One school PC: invited with a claim code, then known by its public key."""

    REGION: ClassVar[str] = "school__region"
    MOVES: ClassVar[Moves] = moves(
        {
            NodeStatus.INVITED: (NodeStatus.CLAIMED, NodeStatus.REVOKED),
            NodeStatus.CLAIMED: (NodeStatus.ACTIVE, NodeStatus.REVOKED),
            NodeStatus.ACTIVE: (NodeStatus.SUSPENDED, NodeStatus.REVOKED),
            NodeStatus.SUSPENDED: (NodeStatus.ACTIVE, NodeStatus.REVOKED),
        }
    )

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    school = models.ForeignKey(School, on_delete=models.PROTECT, related_name="nodes", verbose_name=_("school"))
    status = models.CharField(_("status"), max_length=16, choices=NodeStatus.choices, default=NodeStatus.INVITED)
    public_key = models.TextField(_("public key"), blank=True)
    hostname = models.CharField(_("computer name"), max_length=255, blank=True)
    hardware = models.JSONField(_("hardware"), default=dict, blank=True)
    flwr_node_id = models.CharField(_("Flower node"), max_length=20, blank=True)
    created_at = models.DateTimeField(_("invited"))
    claimed_at = models.DateTimeField(_("claimed"), null=True, blank=True)
    last_contact_at = models.DateTimeField(_("last contact"), null=True, blank=True)
    epoch = models.CharField(_("outbox epoch"), max_length=64, blank=True)
    checkin_number = models.PositiveBigIntegerField(_("number of the last check-in"), default=0)
    # Of the check-in by which this database learnt last that it knows less than the node was told; 0: never.
    restored_number = models.PositiveBigIntegerField(default=0, editable=False)
    running = models.CharField(_("running release"), max_length=64, blank=True)
    disk_free_bytes = models.BigIntegerField(_("free disk, bytes"), null=True, blank=True)
    outbox_depth = models.PositiveIntegerField(_("waiting parcels"), default=0)
    capabilities = models.JSONField(_("capabilities"), default=list, blank=True)
    variants = models.JSONField(_("variants of bases on its disk"), default=dict, blank=True)
    problems = models.JSONField(_("problems there"), default=list, blank=True)
    clock_ahead_seconds = models.BigIntegerField(_("clock ahead, seconds"), null=True, blank=True)
    # Bit n: a contact n days before the last one's day; `rhythm` reads it.
    contact_days = models.BigIntegerField(_("days with a contact"), default=0, editable=False)

    objects = NodeQuerySet.as_manager()

    is_authenticated = True

    class Meta:
        ordering = ("school__name", "created_at")
        verbose_name = _("school PC")
        verbose_name_plural = _("school PCs")
        constraints = (
            models.UniqueConstraint(fields=["public_key"], condition=~Q(public_key=""), name="node_public_key_unique"),
            models.CheckConstraint(
                condition=Q(status__in=[NodeStatus.INVITED, NodeStatus.SUSPENDED, NodeStatus.REVOKED])
                | ~Q(public_key=""),
                name="node_key_known_once_claimed",
            ),
            models.CheckConstraint(condition=Q(status__in=NodeStatus.values), name="node_status_known"),
        )

    def __str__(self) -> str:
        return f"{self.school.name} ({str(self.id)[:8]})"

    @property
    def rhythm(self) -> Rhythm:
        """How often this PC comes into contact."""
        last = timezone.localdate(self.last_contact_at) if self.last_contact_at else None
        return Rhythm(days=self.contact_days, last=last)


class RetiredKey(models.Model):
    """A key that was a node's once and never will be again.

    What it signed before is still taken from the node, unless the key was withdrawn because two PCs had it.
    """

    REGION: ClassVar[str] = "node__school__region"

    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="retired_keys", verbose_name=_("school PC"))
    public_key = models.TextField(_("public key"), unique=True)
    key_id = models.CharField(_("key id"), max_length=64, unique=True)
    is_withdrawn = models.BooleanField(_("withdrawn"), default=False)
    flwr_node_id = models.CharField(_("Flower node"), max_length=20, blank=True)
    retired_at = models.DateTimeField(_("retired"))

    class Meta:
        ordering = ("-id",)
        verbose_name = _("retired key")
        verbose_name_plural = _("retired keys")

    def __str__(self) -> str:
        return self.key_id[:12]


class ClaimCode(models.Model):
    """A code printed for one school, good for one PC; only its keyed digest is kept. A newer one takes its place."""

    REGION: ClassVar[str] = "node__school__region"

    node = models.OneToOneField(Node, on_delete=models.PROTECT, related_name="claim_code", verbose_name=_("school PC"))
    digest = models.CharField(_("digest"), max_length=64, unique=True)
    created_by = models.CharField(_("made by"), max_length=150)
    created_at = models.DateTimeField(_("made"))
    expires_at = models.DateTimeField(_("valid until"))
    used_at = models.DateTimeField(_("used"), null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        verbose_name = _("claim code")
        verbose_name_plural = _("claim codes")

    def __str__(self) -> str:
        return f"{self.node.school.name}, {self.created_at:%Y-%m-%d}"


class Nonce(models.Model):
    """A challenge that one node may answer once."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="nonces")
    value = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("challenge")
        verbose_name_plural = _("challenges")

    def __str__(self) -> str:
        return self.value[:8]


class SessionToken(models.Model):
    """An open session of a node; only the token's digest is kept."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="session_tokens")
    digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")

    def __str__(self) -> str:
        return self.digest[:8]

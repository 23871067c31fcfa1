"""A published program, whom it is offered to, and which program each school's PC runs."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from central.schools.models import Node, School
from central.schools.models_facts import SharedFact
from central.schools.reach import EVERYWHERE
from central.schools.transitions import HasStatus, Moves, moves
from federation.trust.tuf_client import program_path
from federation.wire.programs import is_learning


class ProgramStatus(models.TextChoices):
    """What may be done with a program."""

    AWAITING_SIGNATURE = "awaiting_signature", _("awaiting signature")
    READY = "ready", _("ready")
    PAUSED = "paused", _("paused")
    WITHDRAWN = "withdrawn", _("withdrawn")


class Program(HasStatus, SharedFact):
    """One version of the program: the exact bytes of its index, and the schools that it is offered to."""

    REGION: ClassVar[str] = EVERYWHERE
    MOVES: ClassVar[Moves] = moves(
        {
            ProgramStatus.AWAITING_SIGNATURE: (ProgramStatus.READY, ProgramStatus.WITHDRAWN),
            ProgramStatus.READY: (ProgramStatus.PAUSED, ProgramStatus.WITHDRAWN),
            ProgramStatus.PAUSED: (ProgramStatus.READY, ProgramStatus.WITHDRAWN),
        }
    )

    number = models.PositiveIntegerField(_("number"), unique=True)
    version = models.CharField(_("version"), max_length=60, unique=True)
    status = models.CharField(
        _("status"), max_length=20, choices=ProgramStatus.choices, default=ProgramStatus.AWAITING_SIGNATURE
    )
    digest = models.CharField(_("digest"), max_length=64, unique=True)
    index_bytes = models.BinaryField(_("index"), editable=False)
    is_for_all = models.BooleanField(_("for all schools"), default=False)
    schools = models.ManyToManyField(School, blank=True, related_name="+", verbose_name=_("for these schools"))
    failures_allowed = models.PositiveSmallIntegerField(
        _("failures allowed"), default=2, help_text=_("With one PC more that gave it up, the program pauses by itself.")
    )
    created_by = models.CharField(_("made by"), max_length=150)
    created_at = models.DateTimeField(_("made"))

    class Meta:
        ordering = ("-number",)
        verbose_name = _("program")
        verbose_name_plural = _("programs")
        constraints = (
            models.CheckConstraint(condition=Q(status__in=ProgramStatus.values), name="program_status_known"),
        )

    def __str__(self) -> str:
        return self.version

    @property
    def target_path(self) -> str:
        """The TUF target that vouches for it."""
        return program_path(self.digest)


class ProgramStanding(models.Model):
    """Which program a school's PC runs, and the last one that it gave up, as it said itself."""

    REGION: ClassVar[str] = "node__school__region"

    node = models.OneToOneField(
        Node, on_delete=models.CASCADE, related_name="program_standing", verbose_name=_("school PC")
    )
    version = models.CharField(_("program in use"), max_length=60, db_index=True)
    form = models.CharField(_("form"), max_length=20, blank=True)
    failed = models.CharField(_("program given up"), max_length=60, blank=True, db_index=True)
    code = models.CharField(_("because of"), max_length=64, blank=True)
    heard_at = models.DateTimeField(_("heard"))

    class Meta:
        ordering = ("-heard_at",)
        verbose_name = _("program at a school")
        verbose_name_plural = _("programs at schools")

    def __str__(self) -> str:
        return f"{self.node}: {self.version}"

    @property
    def is_learning(self) -> bool:
        """Whether it is the form with which a PC learns."""
        return is_learning(self.form)

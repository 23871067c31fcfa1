"""Targets that an admin has saved under a name."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from central.rollouts.targeting import Target
from central.schools.reach import EVERYWHERE
from federation.wire.canonical import from_plain


class SchoolFilter(models.Model):
    """A target to plan rollouts by; a rollout keeps its own copy, so that what was approved stays what it was."""

    REGION: ClassVar[str] = EVERYWHERE

    name = models.CharField(_("name"), max_length=80, unique=True)
    marks = models.JSONField(_("marks"), default=dict, blank=True)
    created_by = models.CharField(_("made by"), max_length=150)
    created_at = models.DateTimeField(_("made"))

    class Meta:
        ordering = ("name",)
        verbose_name = _("filter of schools")
        verbose_name_plural = _("filters of schools")

    def __str__(self) -> str:
        return self.name

    def target(self) -> Target:
        """Return the marks that schools must have."""
        return from_plain(Target, self.marks)

"""Rows that may only be added, and the first of them: the audit trail with its hash chain."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models
from django.utils.translation import gettext_lazy as _


class AppendOnlyViolation(RuntimeError):
    """The program tried to change or delete a row that may only be added."""


class AppendOnlyQuerySet(models.QuerySet[Any]):
    """Rows that are added and read."""

    def update(self, **_changes: Any) -> NoReturn:  # noqa: ANN401 - Django's signature
        """Refuse."""
        raise AppendOnlyViolation

    def delete(self) -> NoReturn:
        """Refuse."""
        raise AppendOnlyViolation


class AppendOnly(models.Model):
    """A row that is never changed and never taken back."""

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Django's signature
        """Add the row; a second save is refused."""
        if not self._state.adding:
            raise AppendOnlyViolation
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:  # noqa: ANN401 - Django's signature
        """Refuse."""
        raise AppendOnlyViolation


class AuditEvent(AppendOnly):
    """One change of one status, one alarm, or one deed of a person; `AuditLink` chains it once it is committed."""

    actor = models.CharField(_("who"), max_length=150)
    entity = models.CharField(_("what"), max_length=120, db_index=True)
    old = models.CharField(_("from"), max_length=32, blank=True)
    new = models.CharField(_("to"), max_length=32)
    reason = models.CharField(_("why"), max_length=500, blank=True)
    at = models.DateTimeField(_("when"), db_index=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("audit row")
        verbose_name_plural = _("audit")

    def __str__(self) -> str:
        return f"{self.entity}: {self.old} → {self.new}"


class AuditLink(AppendOnly):
    """The place of one audit row in the hash chain (`chain`); links have no gaps, and one writer (`audit_chain`)."""

    number = models.PositiveBigIntegerField(_("number"), primary_key=True)
    event = models.OneToOneField(AuditEvent, on_delete=models.PROTECT, related_name="link", verbose_name=_("audit row"))
    previous_hash = models.CharField(_("hash of the link before"), max_length=64, unique=True)
    own_hash = models.CharField(_("own hash"), max_length=64, unique=True)

    class Meta:
        ordering = ("-number",)
        verbose_name = _("link of the audit")
        verbose_name_plural = _("links of the audit")
        constraints = (models.CheckConstraint(condition=models.Q(number__gte=1), name="audit_link_counts_from_one"),)

    def __str__(self) -> str:
        return f"{self.number}: {self.own_hash[:12]}"

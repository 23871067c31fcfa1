"""Failed sign-ins, for as long as they count, and recovery codes; TOTP devices are django-otp's."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class FailedSignIn(models.Model):
    """One sign-in that failed; forgotten once it counts no more, or once the person has signed in from there."""

    name = models.CharField(max_length=150)
    address = models.CharField(max_length=64)
    at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("failed sign-in")
        verbose_name_plural = _("failed sign-ins")
        indexes = (
            models.Index(fields=["name", "address"], name="failed_signin_name_address"),
            models.Index(fields=["address"], name="failed_signin_address"),
        )

    def __str__(self) -> str:
        return f"{self.name}, {self.address}"


class RecoveryCode(models.Model):
    """A code on paper for whoever has lost the telephone; only its keyed digest is kept, and it is good once."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64, unique=True)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")

    def __str__(self) -> str:
        return self.digest[:8]

"""How far the node came with each release that the director assigned to it."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from federation.wire.releases import InstallState


class InstallStatus(models.TextChoices):
    """The design's assignment states, as far as the node sees them."""

    DOWNLOADING = InstallState.DOWNLOADING.value, _("downloading")
    STAGED = InstallState.STAGED.value, _("staged")
    TESTING = InstallState.TESTING.value, _("testing")
    TRIAL = InstallState.TRIAL.value, _("on trial")
    COMMITTED = InstallState.COMMITTED.value, _("committed")
    FAILED_DOWNLOAD = InstallState.FAILED_DOWNLOAD.value, _("download failed")
    FAILED_VERIFY = InstallState.FAILED_VERIFY.value, _("verification failed")
    REVERTED = InstallState.REVERTED.value, _("reverted")
    SKIPPED = InstallState.SKIPPED.value, _("skipped")


NEXT: dict[str, frozenset[str]] = {
    InstallStatus.DOWNLOADING: frozenset(
        {
            InstallStatus.STAGED,
            InstallStatus.TRIAL,
            InstallStatus.FAILED_DOWNLOAD,
            InstallStatus.FAILED_VERIFY,
            InstallStatus.COMMITTED,
            InstallStatus.SKIPPED,
        }
    ),
    InstallStatus.FAILED_DOWNLOAD: frozenset({InstallStatus.DOWNLOADING}),
    InstallStatus.STAGED: frozenset(
        {InstallStatus.TESTING, InstallStatus.TRIAL, InstallStatus.COMMITTED, InstallStatus.REVERTED}
    ),
    InstallStatus.TESTING: frozenset({InstallStatus.TRIAL, InstallStatus.COMMITTED, InstallStatus.REVERTED}),
    InstallStatus.TRIAL: frozenset({InstallStatus.COMMITTED, InstallStatus.REVERTED}),
    InstallStatus.COMMITTED: frozenset(),
    InstallStatus.FAILED_VERIFY: frozenset(),
    InstallStatus.REVERTED: frozenset(),
    InstallStatus.SKIPPED: frozenset(),
}
"""The legal transitions, with forward skips for what a cut left unrecorded; only `services` makes them."""


class InstallRecord(models.Model):
    """One assigned release and its state here; what the next check-in reports."""

    release = models.CharField(max_length=64)
    sequence = models.PositiveBigIntegerField()
    status = models.CharField(max_length=20, choices=InstallStatus.choices, default=InstallStatus.DOWNLOADING)
    error_code = models.CharField(max_length=64, blank=True)
    bytes_fetched = models.PositiveBigIntegerField(default=0)
    at = models.DateTimeField()
    is_reported = models.BooleanField(default=False)

    class Meta:
        """Newest assignment first."""

        ordering = ["-sequence"]
        constraints = [
            models.UniqueConstraint(fields=["release", "sequence"], name="install_once_per_assignment"),
            models.CheckConstraint(condition=models.Q(status__in=InstallStatus.values), name="install_status_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.release[:12]} #{self.sequence}: {self.status}"

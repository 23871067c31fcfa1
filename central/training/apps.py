"""The training app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TrainingConfig(AppConfig):
    """Rounds, updates and leases."""

    name = "central.training"
    label = "training"
    verbose_name = _("Learning")

    def ready(self) -> None:
        """Listen to nodes that become active or are revoked."""
        from central.training import fleet_signals  # noqa: F401, PLC0415 - models exist only now

"""The training app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TrainingConfig(AppConfig):
    """Rounds, updates and leases."""

    name = "central.training"
    label = "training"
    verbose_name = _("Learning")

    def ready(self) -> None:
        """Listen to nodes that become active or are revoked, and add to schools' timelines."""
        from central.schools.timeline import timeline_register  # noqa: PLC0415
        from central.training import fleet_signals  # noqa: F401, PLC0415 - models exist only now
        from central.training.timeline_source import updates_of  # noqa: PLC0415 - models exist only now

        timeline_register("training", updates_of)

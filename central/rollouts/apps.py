"""The rollouts app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RolloutsConfig(AppConfig):
    """Waves and assignments; stands on schools and releases."""

    name = "central.rollouts"
    label = "rollouts"
    verbose_name = _("Rollouts")

    def ready(self) -> None:
        """Add to schools' timelines."""
        from central.rollouts.timeline_source import installs_of  # noqa: PLC0415 - models exist only now
        from central.schools.timeline import timeline_register  # noqa: PLC0415

        timeline_register("rollouts", installs_of)

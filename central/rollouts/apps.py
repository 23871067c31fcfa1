"""The rollouts app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RolloutsConfig(AppConfig):
    """Waves and assignments; stands on schools and releases."""

    name = "central.rollouts"
    label = "rollouts"
    verbose_name = _("Rollouts")

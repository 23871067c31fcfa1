"""The programs app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ProgramsConfig(AppConfig):
    """Versions of the program that schools' PCs run."""

    name = "central.programs"
    label = "programs"
    verbose_name = _("Programs")

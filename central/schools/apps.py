"""The schools app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SchoolsConfig(AppConfig):
    """Enrolment and identity; the bottom of the centre."""

    name = "central.schools"
    label = "schools"
    verbose_name = _("Schools")

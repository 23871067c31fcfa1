"""The courier app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CourierConfig(AppConfig):
    """Sticks out and back; stands on everything that also goes by link."""

    name = "central.courier"
    label = "courier"
    verbose_name = _("USB sticks")

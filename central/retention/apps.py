"""The app that forgets; it has no tables of its own."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RetentionConfig(AppConfig):
    """Retention."""

    name = "central.retention"
    label = "retention"
    verbose_name = _("Retention")

"""The feedback app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FeedbackConfig(AppConfig):
    """Intake of ratings and corrections."""

    name = "central.feedback"
    label = "feedback"
    verbose_name = _("Teachers' voice")

"""The feedback app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FeedbackConfig(AppConfig):
    """Intake of ratings and corrections."""

    name = "central.feedback"
    label = "feedback"
    verbose_name = _("Teachers' voice")

    def ready(self) -> None:
        """Add to schools' timelines."""
        from central.feedback.timeline_source import ratings_by_day  # noqa: PLC0415 - models exist only now
        from central.schools.timeline import timeline_register  # noqa: PLC0415

        timeline_register("feedback", ratings_by_day)

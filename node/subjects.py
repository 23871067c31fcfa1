"""The school subjects that a question, an answer or a rating may belong to; the wire's words."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Subject(models.TextChoices):
    """School subjects; the empty one is none."""

    NONE = "", _("No subject")
    MATHEMATICS = "mathematics", _("Mathematics")
    PHYSICS = "physics", _("Physics")
    CHEMISTRY = "chemistry", _("Chemistry")
    BIOLOGY = "biology", _("Biology")
    GEOGRAPHY = "geography", _("Geography")
    HISTORY = "history", _("History")
    TAJIK_LANGUAGE = "tajik-language", _("Tajik language")
    TAJIK_LITERATURE = "tajik-literature", _("Tajik literature")
    RUSSIAN = "russian", _("Russian language")
    ENGLISH = "english", _("English language")
    INFORMATICS = "informatics", _("Computer science")
    OTHER = "other", _("Another subject")

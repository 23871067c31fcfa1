"""The releases app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ReleasesConfig(AppConfig):
    """Releases and their files."""

    name = "central.releases"
    label = "releases"
    verbose_name = _("Releases")

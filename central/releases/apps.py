"""The releases app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ReleasesConfig(AppConfig):
    """Releases and their files."""

    name = "central.releases"
    label = "releases"
    verbose_name = _("Releases")

    def ready(self) -> None:
        """Have Django check the suites with the rest of the installation."""
        from central.releases import checks  # noqa: F401, PLC0415 - the registry of checks is open only now

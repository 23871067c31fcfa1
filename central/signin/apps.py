"""The app for signing in."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SignInConfig(AppConfig):
    """Accounts, lockout and second factors."""

    name = "central.signin"
    label = "signin"
    verbose_name = _("Signing in")

    def ready(self) -> None:
        """Have Django's deployment check ask for the second factor."""
        from central.signin import checks  # noqa: F401, PLC0415 - the registry of checks is open only now

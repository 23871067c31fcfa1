"""The centre's own app: what belongs to no station."""

from django.apps import AppConfig


class CentralConfig(AppConfig):
    """Commands, words and templates of the centre as a whole."""

    name = "central"

    def ready(self) -> None:
        """Have Django check the settings with the rest of the installation."""
        from central import checks  # noqa: F401, PLC0415 - the registry of checks is open only now

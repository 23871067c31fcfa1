"""The app's registration with Django."""

from __future__ import annotations

from django.apps import AppConfig


class InstalledConfig(AppConfig):
    """The node's `installed` app."""

    name = "node.installed"

    def ready(self) -> None:
        """Register the system checks."""
        from node.installed import checks  # noqa: F401, PLC0415 - importing registers

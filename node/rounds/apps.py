"""The app's registration with Django."""

from __future__ import annotations

from django.apps import AppConfig


class RoundsConfig(AppConfig):
    """The node's `rounds` app."""

    name = "node.rounds"

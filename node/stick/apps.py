"""The app's registration with Django."""

from __future__ import annotations

from django.apps import AppConfig


class StickConfig(AppConfig):
    """The node's `stick` app."""

    name = "node.stick"

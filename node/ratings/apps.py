"""The app's registration with Django."""

from __future__ import annotations

from django.apps import AppConfig


class RatingsConfig(AppConfig):
    """The node's `ratings` app."""

    name = "node.ratings"

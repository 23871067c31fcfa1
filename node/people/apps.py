"""The app's registration with Django."""

from __future__ import annotations

from django.apps import AppConfig


class PeopleConfig(AppConfig):
    """The node's `people` app."""

    name = "node.people"

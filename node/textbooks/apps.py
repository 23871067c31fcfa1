"""The app's registration with Django."""

from __future__ import annotations

from django.apps import AppConfig


class TextbooksConfig(AppConfig):
    """The node's `textbooks` app."""

    name = "node.textbooks"

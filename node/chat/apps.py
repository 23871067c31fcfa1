"""The app's registration with Django."""

from __future__ import annotations

from django.apps import AppConfig


class ChatConfig(AppConfig):
    """The node's `chat` app."""

    name = "node.chat"

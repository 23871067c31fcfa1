"""The app's registration with Django."""

from __future__ import annotations

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """The node's `outbox` app."""

    name = "node.outbox"

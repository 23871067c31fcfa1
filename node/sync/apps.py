"""The app's registration with Django."""

from __future__ import annotations

from django.apps import AppConfig


class SyncConfig(AppConfig):
    """The node's `sync` app."""

    name = "node.sync"

"""What later apps may listen to."""

from __future__ import annotations

from django.dispatch import Signal

node_status_changed = Signal()
"""Sent after the commit, with `node`, whenever a node became active, suspended or revoked, or its key changed."""

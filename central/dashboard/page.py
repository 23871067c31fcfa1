"""Gives the admin's first page its figures (unfold's DASHBOARD_CALLBACK)."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from central.dashboard.attention import attention_figures
from central.dashboard.fleet import fleet_figures
from central.dashboard.learning import learning_figures
from central.dashboard.lists import Lists
from central.dashboard.ratings import rating_figures
from central.dashboard.storage import storage_figures
from central.dashboard.waves import rollout_figures
from central.disk import centre_disk
from central.feedback.models import Rating
from central.releases.models import Release
from central.reports import report_read
from central.rollouts.models import Rollout
from central.rollouts.standing import STANDINGS
from central.schools.models import Node
from central.training.models import Round


def dashboard_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return `context` with the figures of the stations whose lists the person may open."""
    return {**context, **report_read(lambda: _figures(request))}


def _figures(request: HttpRequest) -> dict[str, Any]:
    lists, now, disk = Lists(request), timezone.now(), centre_disk()
    return {
        "attention": attention_figures(lists, disk=disk, now=now),
        "fleet": fleet_figures(lists, now=now) if lists.is_open(Node) else None,
        "rollouts": rollout_figures(lists) if lists.is_open(Rollout) else None,
        "ratings": rating_figures(lists) if lists.is_open(Rating) else None,
        "learning": learning_figures(lists) if lists.is_open(Round) else None,
        "storage": storage_figures(lists, disk=disk) if lists.is_open(Release) else None,
        "legend": [(name, words) for name, (words, _statuses) in STANDINGS.items()],
    }

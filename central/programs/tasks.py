"""What the worker does for programs."""

from __future__ import annotations

import logging

from django.utils import timezone

from central.celery import app
from central.disk import centre_disk
from central.programs.services import programs_signed_finish
from federation.trust.errors import RepositoryMissing

LOGGER = logging.getLogger(__name__)


@app.task
def programs_sweep() -> None:
    """Make ready what the targets key has signed elsewhere."""
    try:
        programs_signed_finish(disk=centre_disk(), now=timezone.now())
    except RepositoryMissing:
        LOGGER.warning("programs wait for a signature and there are no keys yet")

"""The Celery application: tasks carry ids and are idempotent, state lives in Django's tables.

Embedded (the filesystem broker), one process is worker and beat. With RabbitMQ or Redis, run `celery beat` apart.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.beat import EmbeddedService, Scheduler
from celery.signals import beat_init, worker_init, worker_ready
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from central.broker_folder import broker_folder_clean
from central.environment import settings_expect

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "central.settings")

app = Celery("central")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
@beat_init.connect
def _expect(**_signal: Any) -> None:  # noqa: ANN401 - Celery's signals name no types
    try:
        settings_expect(settings.SETTINGS_MISTAKES)
    except ImproperlyConfigured as error:
        # Celery goes on after any other error of a signal's receiver.
        raise SystemExit(str(error)) from error


@worker_init.connect
def _clean(**_signal: Any) -> None:  # noqa: ANN401 - Celery's signals name no types
    if settings.IS_BROKER_EMBEDDED:
        broker_folder_clean(settings.BROKER_ROOT)


@worker_ready.connect
def _beat_start(**_signal: Any) -> None:  # noqa: ANN401 - Celery's signals name no types
    if settings.IS_BROKER_EMBEDDED:
        # In a thread: `-B` would start a second process, which outlives a killed worker and goes on enqueuing. The
        # plain Scheduler keeps no file that a power cut could damage; periodic tasks look in the tables for due work.
        EmbeddedService(app, thread=True, scheduler_cls=Scheduler).start()

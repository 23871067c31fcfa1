"""The Celery application: tasks carry ids and are idempotent, state lives in Django's tables.

Embedded (the filesystem broker), one process is worker and beat. With RabbitMQ or Redis, run `celery beat` apart.
"""

from __future__ import annotations

import logging.config
import os
import time
from typing import Any

from celery import Celery
from celery.beat import EmbeddedService, Scheduler
from celery.signals import beat_init, before_task_publish, setup_logging, worker_init, worker_ready
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from central.broker_folder import broker_folder_clean
from central.disk import centre_disk
from central.environment import settings_expect
from central.metrics.store import SENT_HEADER, store_open

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


@setup_logging.connect
def _log(**_signal: Any) -> None:  # noqa: ANN401 - Celery's signals name no types
    # Celery would put handlers of its own beside those of the settings.
    logging.config.dictConfig(settings.LOGGING)


@before_task_publish.connect
def _stamp(headers: dict[str, Any], **_signal: Any) -> None:  # noqa: ANN401 - Celery's signals name no types
    headers[SENT_HEADER] = time.time()


@worker_init.connect
def _count(**_signal: Any) -> None:  # noqa: ANN401 - Celery's signals name no types
    if settings.METRICS_ADDRESS:
        store_open(root=centre_disk().metrics, part="worker")
        from central.metrics.work import work_watch  # noqa: PLC0415 - only workers count tasks

        work_watch(settings.CELERY_TASK_DEFAULT_QUEUE)


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

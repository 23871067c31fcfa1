"""Counts what the worker does: how long tasks waited and took, and how they ended."""

from __future__ import annotations

import time
from typing import Any

from celery.signals import task_failure, task_postrun, task_prerun

from central.metrics.counters import QUEUE_AGE, TASK_SECONDS, TASKS, WORKER_SEEN
from central.metrics.store import SENT_HEADER

_BEGUN: dict[str, float] = {}


def work_watch(queue: str) -> None:
    """Count every task that this process and its children take from `queue`."""

    def begun(task_id: str, task: Any, **_signal: Any) -> None:  # noqa: ANN401 - Celery's signals name no types
        now = time.time()
        _BEGUN[task_id] = time.perf_counter()
        WORKER_SEEN.labels(queue).set(now)
        sent_at = task.request.get(SENT_HEADER) or (task.request.headers or {}).get(SENT_HEADER)
        if isinstance(sent_at, int | float):
            QUEUE_AGE.labels(queue).set(max(0.0, now - sent_at))

    def ended(task_id: str, task: Any, state: str | None = None, **_signal: Any) -> None:  # noqa: ANN401
        started = _BEGUN.pop(task_id, None)
        if started is not None:
            TASK_SECONDS.labels(task.name).observe(time.perf_counter() - started)
        if state == "SUCCESS":
            TASKS.labels(task.name, "success").inc()

    def failed(sender: Any, **_signal: Any) -> None:  # noqa: ANN401
        TASKS.labels(sender.name, "failure").inc()

    task_prerun.connect(begun, weak=False)
    task_postrun.connect(ended, weak=False)
    task_failure.connect(failed, weak=False)

"""What web processes and workers count. Labels are routes and tasks: as many as the program has, never more."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("soro_http_requests_total", "Requests answered.", ("method", "route", "status"))
REQUEST_SECONDS = Histogram(
    "soro_http_request_seconds",
    "Time to the answer.",
    ("route",),
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30),
)
TASKS = Counter("soro_tasks_total", "Tasks of the worker that ended.", ("task", "outcome"))
TASK_SECONDS = Histogram(
    "soro_task_seconds", "How long a task took.", ("task",), buckets=(0.01, 0.1, 1, 10, 60, 600, 3600)
)
QUEUE_AGE = Gauge(
    "soro_queue_age_seconds",
    "How long the task that began last had waited in the queue.",
    ("queue",),
    multiprocess_mode="mostrecent",
)
WORKER_SEEN = Gauge(
    "soro_worker_seen_timestamp_seconds",
    "When a task last began.",
    ("queue",),
    multiprocess_mode="mostrecent",
)

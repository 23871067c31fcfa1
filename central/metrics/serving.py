"""Serves all figures to Prometheus: the sums of what processes counted, and every few seconds what the tables say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from django.db import connections
from django.utils import timezone
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from central.disk import CentreDisk
from central.metrics.figures import figures_read
from central.metrics.store import store_files

KEPT_SECONDS = 10.0
"""Several watchers, or one that asks too often, cost the database no more than one."""


class CountedFigures(Collector):
    """What web processes and workers have counted."""

    def __init__(self, disk: CentreDisk) -> None:
        self._disk = disk

    def collect(self) -> Iterable[Metric]:
        """Return the sums over all processes."""
        return MultiProcessCollector.merge(store_files(root=self._disk.metrics), accumulate=True)


class TableFigures(Collector):
    """What `read` returns of the tables; kept for `KEPT_SECONDS` of `clock`."""

    def __init__(self, read: Callable[[], list[Metric]], *, clock: Callable[[], float]) -> None:
        self._read, self._clock = read, clock
        self._lock = threading.Lock()
        self._kept: list[Metric] = []
        self._read_at: float | None = None

    def collect(self) -> Iterable[Metric]:
        """Return the figures as they were when they were last read."""
        with self._lock:
            now = self._clock()
            if self._read_at is None or now - self._read_at >= KEPT_SECONDS:
                self._kept = self._read()
                self._read_at = now
            return self._kept


def figures_registry(disk: CentreDisk, *, clock: Callable[[], float]) -> CollectorRegistry:
    """Return everything that Prometheus may ask for."""

    def read() -> list[Metric]:
        try:
            return [*figures_read(disk=disk, now=timezone.now())]
        finally:
            # Each question has a thread of its own, whose connection nobody would close.
            connections.close_all()

    registry = CollectorRegistry()
    registry.register(CountedFigures(disk))
    registry.register(TableFigures(read, clock=clock))
    return registry


def figures_serve(*, host: str, port: int, disk: CentreDisk, clock: Callable[[], float]) -> threading.Thread:
    """Answer `GET /metrics` at `host` and `port` from a thread, and return it."""
    _server, thread = start_http_server(port, addr=host, registry=figures_registry(disk, clock=clock))
    return thread

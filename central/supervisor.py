"""Runs the embedded centre: web, worker with beat, SuperLink and SuperExec, each a child in a process group of its own.

1. Every port is tried first; if one is taken, nothing is started and nothing is changed.
2. The database is migrated before any child reads it.
3. What becomes of the children is `federation.processes`' business.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

from django.conf import settings
from django.core.management import call_command

import federation
from central.disk import CentreDisk
from central.metrics.store import store_variables
from central.superlinks import SuperLinkSite, superlinks_read
from central.training.fleet import runs_forget
from central.training.superlink import superlink_commands, superlink_prepare
from federation.errors import CapacityError
from federation.ports import port_check
from federation.processes import ChildSpec, children_keep


class PartUnknown(CapacityError):
    """The centre has no part `part`; `parts` are those that it has."""

    code = "part_unknown"


WEB_PROCESSES_AT_MOST = 4
"""Where SORO_CENTRAL_WEB_PROCESSES names no number."""
WEB_THREADS = 8
"""Of each process; each keeps a connection to the database, which by default allows a hundred."""
ONE_HEAP: Mapping[str, str] = {"MALLOC_ARENA_MAX": "1"}
"""For the web server alone: glibc would give each thread a heap of its own, and what little of each nobody uses grows
for hours (decision 0083). Its threads hold Python's lock while they allocate; those of a worker's builds do not.
"""
_TREE = Path(federation.__file__).parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class CentrePlan:
    """Where the centre keeps its things and listens."""

    root: Path
    host: str
    port: int
    fleet_port: int

    @property
    def base_url(self) -> str:
        """The web server's address."""
        return f"http://{self.host}:{self.port}"

    @property
    def fleet_address(self) -> str:
        """The address of the SuperLink for schools; of several, as SORO_CENTRAL_FLEET has them."""
        return settings.FLEET_ADDRESS or f"{self.host}:{self.fleet_port}"

    @property
    def sites(self) -> tuple[SuperLinkSite, ...]:
        """The SuperLinks that run here."""
        return superlinks_read(self.fleet_address)


def centre_run(plan: CentrePlan, *, announce: Callable[[str], object]) -> None:
    """Run the centre until SIGINT or SIGTERM; then all its children have ended.

    Raises:
        PortInUse: nothing was started.
    """
    has_flower = importlib.util.find_spec("flwr") is not None
    port_check(host=plan.host, port=plan.port, option="--port")
    for site in plan.sites if has_flower else ():
        port_check(host=plan.host, port=site.port, option="--fleet-port")
    call_command("migrate", interactive=False, verbosity=0)
    call_command("createcachetable", verbosity=0)
    disk = CentreDisk(plan.root)
    specs = part_specs(plan, disk)
    if has_flower:
        _superlinks_prepare(plan, disk)
        runs_forget(sites=plan.sites)
    else:
        announce("Flower is not installed: rounds take updates in by other ways, and there is no SuperLink.")
    announce(f"The centre serves {plan.base_url}/admin/ (logs: {disk.logs})")
    describe = partial(_run_state, plan, has_flower=has_flower)
    children_keep(specs, run_path=disk.run_state, describe=describe, stopping=_stopping())


def part_specs(plan: CentrePlan, disk: CentreDisk) -> list[ChildSpec]:
    """Return all parts of this centre, in the order in which to start them."""
    has_flower = importlib.util.find_spec("flwr") is not None
    specs = web_specs(plan, disk, has_flower=has_flower)
    for site in plan.sites if has_flower else ():
        specs += fleet_specs(plan, site, disk)
    return specs


def part_exec(plan: CentrePlan, name: str) -> NoReturn:
    """Become the part `name` of the centre, for a supervisor that is not ours: systemd, or a container's.

    Raises:
        PartUnknown: the centre, as its settings are, has no such part.
    """
    disk = CentreDisk(plan.root)
    specs = {spec.name: spec for spec in part_specs(plan, disk)}
    if name not in specs:
        raise PartUnknown(part=name, parts=", ".join(specs))
    if name.startswith("superlink"):
        _superlinks_prepare(plan, disk)
    spec = specs[name]
    os.execve(spec.argv[0], spec.argv, dict(spec.env))  # nosec B606 # noqa: S606 - without a shell, because there is nothing for one


def _superlinks_prepare(plan: CentrePlan, disk: CentreDisk) -> None:
    for site in plan.sites:
        hosts = {plan.host, site.host}
        superlink_prepare(root=site.root(disk), port=site.port, hosts=hosts, now=datetime.now(UTC), host=plan.host)


def web_specs(plan: CentrePlan, disk: CentreDisk, *, has_flower: bool) -> list[ChildSpec]:
    """Return the web server and the worker; beat is a thread of the embedded worker, else a process of its own."""
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "central.settings",
        "SORO_CENTRAL_ROOT": str(plan.root),
        "SORO_CENTRAL_FLEET": plan.fleet_address if has_flower else "",
        # Behind TLS the web server's own address is nobody's to call.
        "SORO_CENTRAL_ADDRESS": settings.PUBLIC_ADDRESS or ("" if settings.IS_TLS else plan.base_url),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_TREE), os.environ.get("PYTHONPATH", "")])),
        "PYTHONUNBUFFERED": "1",
    }
    celery = ("-m", "celery", "--app", "central.celery")
    worker = ("worker", "--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat")
    commands = {"web": web_command(plan), "worker": (*celery, *worker)}
    if settings.METRICS_ADDRESS:
        commands["metrics"] = ("-m", "django", "metrics")
    if not settings.IS_BROKER_EMBEDDED:
        commands["beat"] = (*celery, "beat", "--schedule", str(disk.root / "beat-schedule"))
    return [
        ChildSpec(
            name=name,
            argv=(sys.executable, *argv),
            env={
                **env,
                **(ONE_HEAP if name == "web" else {}),
                **(store_variables(root=disk.metrics, part=name) if settings.METRICS_ADDRESS else {}),
            },
            log_path=disk.logs / f"{name}.log",
        )
        for name, argv in commands.items()
    ]


def web_command(plan: CentrePlan) -> tuple[str, ...]:
    """Return what starts the web server: one event loop on SQLite, processes with threads on PostgreSQL.

    Under ASGI Django gives each request a thread of its own, and so a connection to PostgreSQL of its own: 32 schools
    at once use up all that the database allows. Threads that stay keep their connections (decision 0083).
    """
    if settings.IS_SQLITE:
        address = ("--host", plan.host, "--port", str(plan.port))
        # In JSON every request has a line of ours, with its route.
        log = ("--no-access-log",) if settings.IS_LOG_JSON else ()
        # Whether a proxy is believed say the settings, not where it calls from.
        proxies = ("--no-proxy-headers", "--timeout-graceful-shutdown", "5")
        return ("-m", "uvicorn", "central.asgi:application", *address, *proxies, *log)
    processes = settings.WEB_PROCESSES or min(os.cpu_count() or 1, WEB_PROCESSES_AT_MOST)
    threads = ("--worker-class", "gthread", "--workers", str(processes), "--threads", str(WEB_THREADS), "--reuse-port")
    waits = ("--graceful-timeout", "5", "--keep-alive", "60", "--timeout", "120")
    return ("-m", "gunicorn", "central.wsgi:application", "--bind", f"{plan.host}:{plan.port}", *threads, *waits)


def fleet_specs(plan: CentrePlan, site: SuperLinkSite, disk: CentreDisk) -> list[ChildSpec]:
    """Return a SuperLink and its SuperExec, in the order in which to start them."""
    suffix = f"-{site.name}" if site.name else ""
    return [
        ChildSpec(
            name=f"{spec.name}{suffix}",
            argv=spec.argv,
            env=spec.env,
            log_path=disk.logs / f"{spec.name}{suffix}.log",
            stop_signal=signal.SIGINT,
        )
        for spec in superlink_commands(site.root(disk), site.port, plan.host)
    ]


def _run_state(plan: CentrePlan, children: Mapping[str, int], *, has_flower: bool) -> bytes:
    state = {
        "pid": os.getpid(),
        "base_url": plan.base_url,
        "fleet": plan.fleet_address if has_flower else None,
        "children": dict(children),
    }
    return json.dumps(state, indent=1).encode()


def _stopping() -> threading.Event:
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    return stopping

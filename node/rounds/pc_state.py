"""Measure what the PC is doing, as far as learning minds it. Source: Linux, proc(5) and sysfs-class-power."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path

from django.utils import timezone

from node.chat.engine_client import engine_status
from node.chat.models import Turn
from node.installed.memory import memory_available_bytes
from node.root import engine_socket_path
from node.rounds.eligibility import PcState

POWER = Path("/sys/class/power_supply")
_JUST_NOW_SECONDS = 2.0
# Nobody has ever asked.
_LONG_SECONDS = 10 * 365 * 86400.0


def pc_measure(*, root: Path, now: datetime) -> PcState:
    """Return the state of the PC at `now`."""
    is_answering, idle_seconds = _chat(root, now)
    return PcState(
        clock=timezone.localtime(now).time(),
        is_answering=is_answering,
        idle_seconds=idle_seconds,
        is_on_battery=is_on_battery(),
        load_a_core=os.getloadavg()[0] / (os.cpu_count() or 1),
        memory_available_bytes=memory_available_bytes(root),
        disk_free_bytes=shutil.disk_usage(root).free,
    )


def is_on_battery(*, power: Path = POWER) -> bool:
    """Return whether the PC lives on a battery now; one that names no supply has the mains.

    Batteries of mice and keyboards count for nothing.
    """
    supplies = [path for path in power.glob("*") if _read(path / "scope") != "Device"]
    mains = [_read(path / "online") for path in supplies if _read(path / "type") in {"Mains", "USB"}]
    if any(online == "1" for online in mains):
        return False
    spare = [path for path in supplies if _read(path / "type") in {"Battery", "UPS"}]
    return any(_read(path / "status") == "Discharging" for path in spare)


def _chat(root: Path, now: datetime) -> tuple[bool, float]:
    """Return whether an answer is on its way, and how long ago the last question or word of an answer was."""
    newest = Turn.objects.order_by("-asked_at").values_list("asked_at", flat=True).first()
    asked_seconds = _LONG_SECONDS if newest is None else abs((now - newest).total_seconds())
    status = engine_status(socket_path=engine_socket_path(root))
    if status is None:
        return False, asked_seconds
    is_answering = status.waiting + status.answering > 0 or status.idle_seconds < _JUST_NOW_SECONDS
    return is_answering, min(asked_seconds, status.idle_seconds)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", errors="replace").strip()
    except OSError:
        return ""

"""What systemd says of the node's unit, where it runs under one: states and counts, and its journal's own lines."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

UNIT = "soro.service"
SECONDS = 10.0
STATES = (
    "ActiveState", "SubState", "Result", "NRestarts", "ExecMainStatus", "ExecMainStartTimestamp", "MemoryCurrent",
    "MemoryPeak",
)  # fmt: skip
"""States, counts and times alone: other properties hold settings and command lines."""
JOURNAL_LINES = 500


def service_states() -> dict[str, str]:
    """Return the states of the unit; empty where there is no systemd."""
    told = _said(["systemctl", "show", UNIT, f"--property={','.join(STATES)}"])
    pairs = (line.partition("=") for line in told)
    return {name: value for name, _equals, value in pairs if name in STATES}


def journal_lines() -> list[str]:
    """Return the newest lines of the unit's own process; none where this account may not read the journal."""
    return _said(["journalctl", f"--unit={UNIT}", f"--lines={JOURNAL_LINES}", "--output=cat", "--quiet"])


def _said(argv: Sequence[str]) -> list[str]:
    try:
        ended = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return ended.stdout.splitlines()

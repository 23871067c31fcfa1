"""Known holes in the packages that are installed and that installation sticks carry, by pip-audit.

A database that cannot be reached is no good news. Each is first asked about a Django of 2021, which has known holes:
one that knows of none is not believed about anything else.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.audit.findings import TREE, AuditBroken, Look, answers_read, json_read, tool_run, unanswered

PROBE = "django==3.2\n"
PROBE_SECONDS = 60.0
DATABASES = (("pypi",), ("osv",))
"""pip-audit's words for each database that is asked, the first that answers alone."""
LOCKS = sorted((TREE / "central/installers").glob("*.lock"))


def advisories_look(databases: Sequence[tuple[str, ...]] = DATABASES) -> Look:
    """Return what is known against the packages, or that nobody could be asked."""
    service = next((each for each in databases if _knows_holes(each)), None)
    if service is None:
        asked = " and ".join(each[0] for each in databases)
        told = f"No database of advisories answers from here ({asked} were tried): NOTHING was looked up."
        return Look(name="advisories", told=told, has_looked=False)
    installed = _ask(service, "--skip-editable")
    carried = _ask(service, *(f"--requirement={lock}" for lock in LOCKS), "--no-deps", "--disable-pip")
    rows = {(row["name"], row.get("version", "")): row for row in (*installed, *carried)}
    holes = sorted(
        {(row["name"], row["version"], hole["id"]) for row in rows.values() for hole in row.get("vulns", ())}
    )
    skipped = sorted({row["name"] for row in rows.values() if "skip_reason" in row})
    problems = unanswered(
        holes,
        name=lambda each: (each[0], each[2]),
        tell=lambda each: f"{each[0]} {each[1]}: {each[2]}",
        answers=answers_read("advisory"),
    )
    missed = f"; it does not know {', '.join(skipped)}" if skipped else ""
    return Look(
        name="advisories", told=f"{service[0]} was asked about {len(rows)} packages{missed}.", problems=problems
    )


def _knows_holes(service: tuple[str, ...]) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        probe = Path(scratch) / "probe.txt"
        probe.write_text(PROBE, encoding="ascii")
        try:
            rows = _ask(service, "--requirement", str(probe), "--no-deps", "--disable-pip", seconds=PROBE_SECONDS)
        except (AuditBroken, subprocess.TimeoutExpired):
            return False
    return any(row.get("vulns") for row in rows)


def _ask(service: tuple[str, ...], *what: str, seconds: float = 300.0) -> list[dict[str, Any]]:
    words = ("--vulnerability-service", *service, "--format", "json", "--progress-spinner", "off", "--timeout", "5")
    rows: list[dict[str, Any]] = json_read(tool_run("pip_audit", *words, *what, seconds=seconds))["dependencies"]
    return rows

"""The bills of materials, in CycloneDX's form: of this environment, and of what a stick puts on a school's PC."""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from pathlib import Path

from tests.audit.advisories import LOCKS
from tests.audit.findings import TREE, AuditBroken, Look, tool_run

INTO = TREE / "var/audit"
_PINNED = re.compile(r"^([\w.-]+)==", re.MULTILINE)


def bill_write(into: Path = INTO) -> Look:
    """Leave both bills in `into`; each names every package that it should."""
    into.mkdir(parents=True, exist_ok=True)
    installed = {each.name for each in metadata.distributions()} - {"soro-schools"}
    # A PC that learns has what all locks name.
    school = into / "school-pc.txt"
    school.write_text("".join(lock.read_text(encoding="ascii") for lock in LOCKS), encoding="ascii")
    carried = set(_PINNED.findall(school.read_text(encoding="ascii")))
    environment = ("environment", sys.executable, "--pyproject", str(TREE / "pyproject.toml"))
    problems = (
        *_write(into / "environment.cdx.json", environment, installed),
        *_write(into / "school-pc.cdx.json", ("requirements", str(school)), carried),
    )
    told = f"{len(installed)} packages of this environment and {len(carried)} of a school's PC are listed."
    return Look(name="materials", told=told, problems=problems)


def _write(file: Path, words: tuple[str, ...], wanted: set[str]) -> list[str]:
    # Held against CycloneDX's schema a bill takes half a minute; what matters here is that nothing is missing.
    written = ("--output-format", "JSON", "--output-reproducible", "--no-validate", "--output-file", str(file))
    ended = tool_run("cyclonedx_py", *words, *written)
    if ended.returncode:
        raise AuditBroken(f"cyclonedx_py: {ended.stderr.strip()[-300:]}")
    listed = {_name(each["name"]) for each in json.loads(file.read_bytes())["components"]}
    return [f"{file.name} lacks {each}" for each in sorted(wanted) if _name(each) not in listed]


def _name(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()

"""Bandit over the program. What it is wrong about is answered at its line, with `nosec`, the test's id and a reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.audit.findings import PACKAGES, TREE, Look, json_read, tool_run


def code_look(paths: Sequence[Path] = tuple(TREE / each for each in PACKAGES)) -> Look:
    """Return what bandit finds in `paths`, and what it could not read."""
    settings = ("--configfile", str(TREE / "pyproject.toml"))
    ended = tool_run("bandit", *settings, "--quiet", "--recursive", *map(str, paths), "--format", "json")
    report = json_read(ended)
    found = [
        f"{each['filename']}:{each['line_number']} {each['test_id']} {each['issue_text']}" for each in report["results"]
    ]
    broken = [f"{each['filename']}: {each['reason']}" for each in report["errors"]]
    lines = report["metrics"]["_totals"]["loc"]
    return Look(name="code", told=f"bandit read {lines} lines.", problems=(*found, *broken))

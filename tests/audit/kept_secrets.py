"""detect-secrets over what git holds: keys, tokens and passwords that nobody meant to commit."""

from __future__ import annotations

from pathlib import Path

from tests.audit.findings import TREE, Look, answers_read, json_read, tool_run, unanswered

NOT_READ = (r"\.po$", r"\.mo$", r"\.png$", r"\.lock$")
"""Catalogues and pictures, and a list of digests, each of which looks like a secret."""


def secrets_look(tree: Path = TREE) -> Look:
    """Return what looks like a secret in `tree`: in its files that git holds, or in all where it is no repository."""
    skipped = [part for pattern in NOT_READ for part in ("--exclude-files", pattern)]
    # Nothing found is sent to the service that it might be good for.
    everything = () if (tree / ".git").exists() else ("--all-files",)
    ended = tool_run("detect_secrets", "-C", str(tree), "scan", "--no-verify", *everything, *skipped)
    report = json_read(ended)["results"]
    found = [(file, each["type"], each["line_number"]) for file, rows in report.items() for each in rows]
    problems = unanswered(
        found,
        name=lambda each: (each[0], each[1]),
        tell=lambda each: f"{each[0]}:{each[2]} {each[1]}",
        answers=answers_read("secret") if tree == TREE else (),
    )
    return Look(
        name="secrets",
        told=f"detect-secrets found {len(found)} places; {_answered(found, problems)}.",
        problems=problems,
    )


def _answered(found: list[tuple[str, str, int]], problems: tuple[str, ...]) -> str:
    return "each is answered" if not problems else f"{len(problems)} of {len(found)} need an answer"

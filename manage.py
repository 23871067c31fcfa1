#!/usr/bin/env python
"""The one command line: `manage.py central …`, `manage.py node …` and `manage.py demo`; the first word picks."""

from __future__ import annotations

import os
import sys

USAGE = """usage: manage.py central COMMAND …   the ministry's centre
       manage.py node COMMAND …      a school's PC
       manage.py demo [options]      the whole journey, once, on this machine"""


def main(argv: list[str]) -> int:
    """Hand the rest of the command line to the project that the first word names; return the exit status."""
    project = argv[1] if len(argv) > 1 else ""
    if project == "demo":
        from federation.demo.command import main as demo_main  # noqa: PLC0415 - only the chosen project is imported

        return demo_main(argv[2:])
    if project not in ("central", "node"):
        sys.stderr.write(USAGE + "\n")
        return 2
    os.environ["DJANGO_SETTINGS_MODULE"] = f"{project}.settings"
    from django.core.management import execute_from_command_line  # noqa: PLC0415 - settings must be named first

    # sys.argv stays whole: runserver's reloader executes it again.
    execute_from_command_line([f"{argv[0]} {project}", *argv[2:]])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

"""The centre's command line, as an operator calls it, on any root and engines."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment_of(root, **settings):
    """Return the environment of a centre at `root` that has these settings and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SORO_", "DJANGO_"))}
    own = {"SORO_CENTRAL_ROOT": str(root), "DJANGO_SETTINGS_MODULE": "central.settings", "PYTHONPATH": str(ROOT)}
    return {**kept, **own, **settings}


def manage(environment, *words):
    """Return what the command says; it must succeed."""
    argv = [sys.executable, str(ROOT / "manage.py"), "central", *words]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()

"""The stand-in's package as the demo makes it, kept for every test and benchmark of this checkout that serves it.

The steps are the demo's own (var/builds), so that whichever comes second only copies; `make clean` takes all away.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import django

TREE = Path(__file__).resolve().parents[1]
STEPS = TREE / "var" / "builds"
KEPT = TREE / "var" / "standin" / "package"
THREADS = min(2, os.cpu_count() or 1)


def standin_package() -> Path:
    """Return the package's folder; where none is kept, it is built first, in a process of its own (some minutes)."""
    if not KEPT.exists():
        # The caller's settings may be those of a school, or of tests; torch and the exporter stay out of its memory.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SORO_", "DJANGO_"))}
        subprocess.run([sys.executable, "-m", "tests.standin_package"], cwd=TREE, env=kept, check=True)
    return KEPT


def main() -> int:
    """Build the package."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "central.settings"
    django.setup()
    # Torch and the exporter load for seconds, and need Django's settings first.
    from central.releases.evaluation_set import texts_read  # noqa: PLC0415
    from central.releases.packaging.build import package_build  # noqa: PLC0415
    from central.releases.packaging.checkpoint import checkpoint_cached  # noqa: PLC0415
    from central.releases.packaging.step_folder import steps_hold  # noqa: PLC0415
    from central.releases.recipe import Recipe  # noqa: PLC0415

    KEPT.parent.mkdir(parents=True, exist_ok=True)
    with steps_hold(STEPS):
        package_build(
            checkpoint=checkpoint_cached(source=None, work=STEPS, progress=_show),
            texts=texts_read(),
            into=KEPT,
            work=STEPS,
            progress=_show,
            recipe=Recipe(),
            threads=THREADS,
        )
    return 0


def _show(stage: str, share: float) -> None:
    if share in (0.0, 1.0):
        sys.stderr.write(f"{stage}: {share:.0%}\n")


if __name__ == "__main__":
    sys.exit(main())

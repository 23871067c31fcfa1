"""What bad links and idle contacts cost in bytes, with a real centre and a real node: rows for `make bench-sync`.

The measuring runs in a process of its own, because it needs the node's settings.
"""

# ruff: noqa: PLC0415 - only the measuring process has the settings
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.report import Row, row

TREE = Path(__file__).resolve().parents[2]


def sync_fault_rows() -> list[Row]:
    """Return the figures, each with its bar; takes about a minute."""
    with tempfile.TemporaryDirectory() as work:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SORO_", "DJANGO_"))}
        environment |= {"SORO_NODE_ROOT": str(Path(work) / "node"), "DJANGO_SETTINGS_MODULE": "node.settings"}
        child = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.sync_faults", work],
            env=environment,
            cwd=TREE,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    measured = json.loads(child.stdout)
    return [
        row("idle_checkin_bytes", measured["idle_checkin_bytes"], "bytes", at_most=2048),
        row("idle_checkin_opening_bytes", measured["idle_checkin_opening_bytes"], "bytes"),
        row("ratings100_bytes", measured["ratings100_bytes"], "bytes", at_most=15_000),
        row("flaky_node_bytes_ratio", measured["flaky_bytes_ratio"], "x payload", at_most=1.02),
    ]


def _measure(work: Path) -> dict[str, float]:
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from tests.fault_proxy import FaultProxy, Link
    from tests.link_costs import (
        FLAKY_PAYLOAD_BYTES,
        flaky_bytes_ratio,
        idle_checkin_bytes,
        ratings100_bytes,
    )
    from tests.node.faults import School, package_make
    from tests.real_centre import real_centre

    call_command("migrate", interactive=False, verbosity=0)
    with real_centre(work / "centre") as centre, FaultProxy(centre.url, link=Link()) as proxy:
        school = School(work / "node", proxy.url)
        school.enrol(centre, "Мактаби №1")
        centre.ask("offer", folder=str(package_make(work / "package", size_bytes=1000)))
        school.contact()
        school.engine_start()
        return {
            "idle_checkin_bytes": idle_checkin_bytes(school, proxy),
            "idle_checkin_opening_bytes": idle_checkin_bytes(school, proxy, opens_session=True),
            "ratings100_bytes": ratings100_bytes(school, proxy, User.objects.create_user("munira")),
            "flaky_bytes_ratio": flaky_bytes_ratio(school, centre, work, payload_bytes=FLAKY_PAYLOAD_BYTES),
        }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(Path(sys.argv[1]))))

"""What the schools of `bench-centre` say."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from federation.wire.enrolment import Hardware
from federation.wire.releases import CheckIn, InstallReport, InstallState

HARDWARE = Hardware(cores=2, memory_bytes=4 * 2**30, disk_free_bytes=50 * 2**30, machine="x86_64", gpu_memory_bytes=0)
EPOCH = "epoch"


def story(*, node_id: str, base: str, adapter: str, now: datetime) -> dict[str, CheckIn]:
    """Return a school's check-ins by kind: on the base, with the report that the adapter runs, and later on."""
    on_base = CheckIn(
        node_id=node_id, epoch=EPOCH, sent_at=now, running=base, installs=(), disk_free_bytes=10**10, outbox_depth=0,
        capabilities=("chat", "train"), hardware=HARDWARE, variants={}, problems=(), assignment_sequence=0,
        assignment_sha256="", plan_id="", updates_waiting=(), acknowledged_seq=0, number=0,
    )  # fmt: skip
    report = InstallReport(
        release=adapter, sequence=1, state=InstallState.COMMITTED, error_code="", bytes_fetched=10**6, at=now
    )
    on_adapter = replace(on_base, running=adapter)
    return {"base": on_base, "report": replace(on_adapter, installs=(report,)), "adapter": on_adapter}

"""The ServerApp: runs one bounded collection for one plan and leaves `run.json` beside the updates.

Its run config says all: `plan-id`, `plan-file` (the signed plan, only to record which bytes it was), `inbox`, `wanted`,
`duration-s`, `max-update-bytes`. What an update is worth is judged by the centre, from the inbox.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flwr.app import Context, UserConfig
from flwr.serverapp import Grid, ServerApp

from federation.errors import CapacityError
from federation.learning.flower.collection import Collection, Ended, Terms
from federation.learning.flower.inbox import PlanInbox
from federation.learning.flower.messages import plan_id_checked

_PULL_THREADS = 32

app = ServerApp()


class RunConfigRefused(CapacityError):
    """A run was submitted with a missing or impossible setting. Fields: key, value."""

    code = "run_config_refused"


@app.main()
def updates_collect(grid: Grid, context: Context) -> None:
    """Return once the run has ended for a reason that stands in `run.json`.

    Raises:
        PlanIdRefused: `plan-id` may not name a folder.
        RunConfigRefused: another setting of the run config is missing or impossible.
    """
    config = context.run_config
    terms = terms_read(config)
    inbox = PlanInbox(inbox=_path(config, "inbox"), plan_id=terms.plan_id)
    plan_sha256 = hashlib.sha256(_path(config, "plan-file").read_bytes()).hexdigest()
    started_at = time.time()
    pool = ThreadPoolExecutor(max_workers=_PULL_THREADS, thread_name_prefix="pull")
    collection = Collection(grid=grid, inbox=inbox, terms=terms, clock=time.time, sleep=time.sleep, pool=pool)
    try:
        ended = collection.run()
    finally:
        # A pull that waits for a slow upload must not hold the run open: the school keeps its update.
        pool.shutdown(wait=False, cancel_futures=True)
    inbox.run_write(
        run_record(collection, ended=ended, plan_sha256=plan_sha256, seconds=round(time.time() - started_at, 3))
        | {"run_id": str(context.run_id)}
    )


def run_record(collection: Collection, *, ended: Ended, plan_sha256: str, seconds: float) -> dict[str, object]:
    """Return what `run.json` says: why the run ended, which nodes handed in, and how often each thing happened."""
    return {
        "plan_id": collection.terms.plan_id,
        "plan_sha256": plan_sha256,
        "ended": ended.value,
        "wanted": collection.terms.wanted,
        "collected": collection.collected_nodes(),
        "counts": dict(collection.counts),
        "seconds": seconds,
    }


def terms_read(config: UserConfig) -> Terms:
    """Return the run's terms.

    Raises:
        PlanIdRefused: `plan-id` may not name a folder.
        RunConfigRefused: a number is missing or not above zero.
    """
    return Terms(
        plan_id=plan_id_checked(config.get("plan-id")),
        wanted=int(_positive(config, "wanted")),
        duration_seconds=_positive(config, "duration-s"),
        max_update_bytes=int(_positive(config, "max-update-bytes")),
    )


def _positive(config: UserConfig, key: str) -> float:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise RunConfigRefused(key=key, value=repr(value))
    return float(value)


def _path(config: UserConfig, key: str) -> Path:
    value = config.get(key)
    if not isinstance(value, str) or not Path(value).is_absolute():
        raise RunConfigRefused(key=key, value=repr(value))
    return Path(value)

"""The ServerApp: runs one bounded collection for one round and leaves a record beside the updates.

Its run config says all: `season-id`, `round-id`, `inbox`, `wanted`, `duration-s`, `max-update-bytes`. What an update is
worth is judged by the centre, from the inbox.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flwr.app import Context, UserConfig
from flwr.serverapp import Grid, ServerApp

from federation.errors import CapacityError
from federation.learning.flower.collection import Collection, Ended, Terms
from federation.learning.flower.inbox import RoundInbox
from federation.learning.flower.messages import file_id_checked

_PULL_THREADS = 32

app = ServerApp()


class RunConfigRefused(CapacityError):
    """A run was submitted with a missing or impossible setting. Fields: key, value."""

    code = "run_config_refused"


@app.main()
def updates_collect(grid: Grid, context: Context) -> None:
    """Return once the run has ended for a reason that stands in its record.

    Raises:
        FileIdRefused: `season-id` or `round-id` may not name a file or folder.
        RunConfigRefused: another setting of the run config is missing or impossible.
    """
    config = context.run_config
    terms = terms_read(config)
    inbox = RoundInbox(inbox=_path(config, "inbox"), round_id=terms.round_id)
    started_at = time.time()
    pool = ThreadPoolExecutor(max_workers=_PULL_THREADS, thread_name_prefix="pull")
    collection = Collection(grid=grid, inbox=inbox, terms=terms, clock=time.time, sleep=time.sleep, pool=pool)
    try:
        ended = collection.run()
    finally:
        # A pull that waits for a slow upload must not hold the run open: the school keeps its update.
        pool.shutdown(wait=False, cancel_futures=True)
    record = run_record(collection, ended=ended, seconds=round(time.time() - started_at, 3))
    inbox.run_write(record, run_id=context.run_id)


def run_record(collection: Collection, *, ended: Ended, seconds: float) -> dict[str, object]:
    """Return what a run leaves behind: why it ended, which nodes handed in, and how often each thing happened."""
    return {
        "season_id": collection.terms.season_id,
        "round_id": collection.terms.round_id,
        "ended": ended.value,
        "wanted": collection.terms.wanted,
        "collected": collection.collected_nodes(),
        "counts": dict(collection.counts),
        "seconds": seconds,
    }


def terms_read(config: UserConfig) -> Terms:
    """Return the run's terms.

    Raises:
        FileIdRefused: `season-id` or `round-id` may not name a file or folder.
        RunConfigRefused: a number is missing or not above zero.
    """
    return Terms(
        season_id=file_id_checked(config.get("season-id")),
        round_id=file_id_checked(config.get("round-id")),
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

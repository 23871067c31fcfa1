"""Part `exchange`: one contact by Flower over a school's link, from the client's start until the centre has the update.

Both of our clients, on a quick link and at 256 kbit/s; then FedAvg as it comes, whose SuperNodes train for longer than
the link is up (2 minutes in 10). Bytes are all that crosses the link either way, TLS and all.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from node.rounds.supernode import ContactEnd, FlowerClient, contact_hold
from tests.benchmarks.process_tree import tree_memory
from tests.benchmarks.report import Row, row
from tests.benchmarks.school_link import Schedule, SchoolLink
from tests.benchmarks.stock_fedavg import round_start, supernode_open
from tests.real_superlink import School, SuperLink, pids_with, superlink_open, until
from tests.stations import free_port

UPDATES = {"core": 300_000, "b": 1_640_000}
"""Bytes of an update of the 270M in int8: Fed-SB's cores, and FFA-LoRA's B, both with their Gram matrices."""
QUICK, SLOW = 8192.0, 256.0
TIMES = 3
MODEL_BYTES = 2_950_000
"""FFA-LoRA's B in float32 at half the rank: what a stock FedAvg would send down and up."""
LINK = Schedule(up_seconds=120.0, of_seconds=600.0)
NODES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What one contact cost."""

    seconds: float
    bytes_up: int
    bytes_down: int


def measure(*, work: Path) -> list[Row]:
    """Return the rows of our clients, and of FedAvg over the same links."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with superlink_open(work / "superlink") as superlink:
        rows = [each for client in FlowerClient for each in _client_rows(superlink, client, work / client.value)]
        rows += _fedavg_rows(superlink, work / "fedavg")
    return rows


def _client_rows(superlink: SuperLink, client: FlowerClient, work: Path) -> Iterator[Row]:
    school = School.make(f"school-{client.value}", work, client)
    superlink.register(school)
    bars = {"at_most": 10.0}
    for kbit_s, speed in ((QUICK, "quick"), (SLOW, "256")):
        for kind, size_bytes in UPDATES.items():
            found = sorted(
                (_exchange(superlink, school, size_bytes, kbit_s, f"{client.value}-{speed}-{kind}-{number}")
                 for number in range(TIMES if speed == "quick" else 1)),
                key=lambda each: each.seconds,
            )  # fmt: skip
            middle = found[len(found) // 2]
            name = f"exchange_{client.value}_{kind}_{speed}"
            yield row(f"{name}_seconds", middle.seconds, "s", **(bars if speed == "quick" else {}))
            if speed == "quick":
                total = middle.bytes_up + middle.bytes_down
                is_small = kind == "core"
                yield row(f"{name}_bytes", total, "bytes", **({"at_most": 1e6} if is_small else {}))
                yield row(f"{name}_overhead", total - size_bytes, "bytes beside the update")
    yield row(f"exchange_{client.value}_memory", _memory(superlink, school) / 2**20, "MiB while it waits")


def _exchange(superlink: SuperLink, school: School, size_bytes: int, kbit_s: float, season: str) -> Exchange:
    inbox = school.folder / "inbox"
    landed = inbox / f"{season}-4" / f"{school.name}-1.update"
    update = school.finish_update(season, size_bytes=size_bytes)
    superlink.start(season, inbox, wanted=1, duration_seconds=600)
    until((inbox / f"{season}-4").exists, seconds=60)
    with SchoolLink(superlink.port, kbit_s=kbit_s) as link:
        began, arrived = time.monotonic(), []

        def is_received() -> bool:
            if landed.exists() and not arrived:
                arrived.append(time.monotonic() - began)
            return bool(arrived)

        report = contact_hold(
            contact=school.contact(superlink, port=link.port),
            is_received=is_received,
            lease_seconds=580,
            poll_seconds=0.05,
        )
        found = Exchange(seconds=arrived[0], bytes_up=link.bytes_up, bytes_down=link.bytes_down)
    assert report.end is ContactEnd.RECEIVED
    assert landed.read_bytes() == update
    (school.folder / "outbox" / f"{season}-12.update").unlink()
    return found


def _memory(superlink: SuperLink, school: School) -> int:
    """Return what the client and all that it started hold once it is connected and has nothing to do."""
    log, peak = school.folder / "supernode.log", []

    def look() -> bool:
        if b"SuperNode ID" in log.read_bytes():
            peak.append(sum(tree_memory(pid).anonymous for pid in _roots(school)))
        return len(peak) > 20

    contact_hold(contact=school.contact(superlink), is_received=look, lease_seconds=60, poll_seconds=0.2)
    return max(peak)


def _roots(school: School) -> list[int]:
    return [pid for pid, argv in pids_with(str(school.folder)).items() if "--node-key\0" in argv][:1]


def _fedavg_rows(superlink: SuperLink, work: Path) -> list[Row]:
    schools = [School.make(f"stock-{number}", work / str(number)) for number in range(NODES)]
    for school in schools:
        superlink.register(school)
    with ExitStack() as ending:
        # Both links come up together, which flatters FedAvg: it needs its nodes at one time.
        links = [ending.enter_context(SchoolLink(superlink.port, kbit_s=SLOW, schedule=LINK)) for _ in schools]
        for school, link in zip(schools, links, strict=True):
            ending.enter_context(supernode_open(school, superlink, link_port=link.port, own_port=free_port()))
        result = round_start(
            superlink, folder=work / "app", nodes=NODES, size_bytes=MODEL_BYTES // 4, train_seconds=150.0,
            timeout_seconds=900.0,
        )  # fmt: skip
        until(result.exists, seconds=960)
        found = json.loads(result.read_text())
        crossed = sum(link.bytes_up + link.bytes_down for link in links)
    return [
        row("fedavg_collected", found["collected"], f"of {NODES} updates, link up 2 minutes in 10"),
        row("fedavg_seconds", found["seconds"], "s until its round was over"),
        row("fedavg_bytes", crossed / NODES, "bytes a school"),
    ]

"""Part `capacity`: so many clients at one SuperLink at once as leases let in, each with an update to hand in.

The clients are the durable one's own connection, a thread each, because that many SuperNodes would need 20 GB. All are
connected before the run starts, which is worse than what leases make of it: there schools come one after another.
"""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flwr.proto.control_pb2 import RegisterNodeRequest
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

from federation.learning.flower.exchange import Exchange
from federation.learning.flower.fleet import fleet_open
from federation.learning.flower.keys import public_key_canonical
from federation.learning.flower.letter import Letter
from tests.benchmarks.report import Row, row
from tests.real_superlink import School, SuperLink, superlink_open, until

CLIENTS = 120
UPDATE_BYTES = 300_000
SEASON = "capacity"


def measure(*, work: Path) -> list[Row]:
    """Return how long the last of all took."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with superlink_open(work / "superlink") as superlink:
        schools = [School.make(f"school-{number}", work / f"school-{number}") for number in range(CLIENTS)]
        _register(superlink, schools)
        updates = {school.name: school.finish_update(SEASON, size_bytes=UPDATE_BYTES) for school in schools}
        inbox = work / "inbox" / f"{SEASON}-4"
        seconds = _hand_in(superlink, schools, inbox)
        landed = {path.name.rpartition("-")[0]: path.read_bytes() for path in inbox.glob("*.update")}
    return [
        row("capacity_clients", CLIENTS, "connected at once", at_least=100),
        row("capacity_lost", sum(landed.get(name) != update for name, update in updates.items()), "updates", at_most=0),
        row("capacity_seconds", seconds, f"s until all {CLIENTS} updates were in"),
        row("capacity_updates_a_minute", 60 * CLIENTS / seconds, "updates a minute"),
    ]


def _register(superlink: SuperLink, schools: list[School]) -> None:
    client = ControlHttpClient.from_server_address(
        server_address=f"127.0.0.1:{superlink.port}",
        insecure=False,
        root_certificates=(superlink.root / "tls" / "ca.pem").read_bytes(),
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
    )
    for school in schools:
        key = public_key_canonical(school.public_pem)
        client.RegisterNode(RegisterNodeRequest(public_key=key, name=school.name))
    client.close()


def _hand_in(superlink: SuperLink, schools: list[School], inbox: Path) -> float:
    ready, over = threading.Barrier(len(schools) + 1), threading.Event()
    with ThreadPoolExecutor(max_workers=len(schools)) as pool:
        contacts = [pool.submit(_contact, school, superlink, ready, over) for school in schools]
        ready.wait(timeout=300)
        superlink.start(SEASON, inbox.parent, wanted=len(schools), duration_seconds=600)
        began = time.monotonic()
        try:
            until(lambda: len(list(inbox.glob("*.update"))) == len(schools), seconds=600)
        finally:
            over.set()
        seconds = time.monotonic() - began
        for contact in contacts:
            contact.result()
    return seconds


def _contact(school: School, superlink: SuperLink, ready: threading.Barrier, over: threading.Event) -> None:
    home = school.folder / "home"
    home.mkdir()
    with fleet_open(
        superlink=f"localhost:{superlink.port}",
        authority=superlink.root / "tls" / "ca.pem",
        node_key=school.folder / "node.pem",
        outbox=school.folder / "outbox",
        home=home,
    ) as fleet:
        ready.wait(timeout=300)
        exchange = Exchange(fleet=fleet, letter=Letter(home / "letter"), sleep=over.wait)
        while not over.is_set():
            exchange.step()

"""A real SuperLink on loopback with TLS and node authentication, and schools that bring finished updates to it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from central.training.superlink import (
    node_register,
    run_start,
    run_status,
    superlink_commands,
    superlink_is_healthy,
    superlink_prepare,
)
from node.rounds.supernode import Contact, ContactReport, FlowerClient, contact_hold
from tests.stations import free_port

UPDATE_BYTES = 2_000_000


@dataclass
class SuperLink:
    root: Path
    port: int
    seconds: dict[str, float] = field(default_factory=dict)

    def register(self, school: School) -> str:
        return node_register(root=self.root, port=self.port, node_id=school.name, public_pem=school.public_pem)

    def start(self, season_id: str, inbox: Path, *, wanted: int, duration_seconds: float) -> str:
        return run_start(
            root=self.root,
            port=self.port,
            season_id=season_id,
            round_id=f"{season_id}-4",
            inbox=inbox,
            wanted=wanted,
            duration_seconds=duration_seconds,
        )

    def state(self, run_id: str) -> str:
        return run_status(root=self.root, port=self.port, run_id=run_id).state


@dataclass
class School:
    name: str
    folder: Path
    public_pem: bytes
    client: FlowerClient = FlowerClient.SUPERNODE

    @classmethod
    def make(cls, name: str, folder: Path, client: FlowerClient = FlowerClient.SUPERNODE) -> School:
        (folder / "outbox").mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP384R1())
        (folder / "node.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public_pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return cls(name, folder, public_pem, client)

    def finish_update(self, season_id: str, *, size_bytes: int = UPDATE_BYTES) -> bytes:
        update = secrets.token_bytes(size_bytes)
        (self.folder / "outbox" / f"{season_id}-12.update").write_bytes(update)
        return update

    def contact(self, superlink: SuperLink, *, port: int | None = None) -> Contact:
        return Contact(
            superlink=f"localhost:{port or superlink.port}",
            authority=superlink.root / "tls" / "ca.pem",
            node_key=self.folder / "node.pem",
            outbox=self.folder / "outbox",
            home=self.folder / "flower",
            log_path=self.folder / "supernode.log",
            client=self.client,
        )

    def meet(self, superlink: SuperLink, landed: Path, *, lease_seconds: float = 60) -> ContactReport:
        return contact_hold(contact=self.contact(superlink), is_received=landed.exists, lease_seconds=lease_seconds)

    def processes(self) -> list[str]:
        """Return the command lines of processes that name this school's folder, or live in its environment."""
        return processes_with(str(self.folder))


def processes_with(text: str) -> list[str]:
    return list(pids_with(text).values())


def pids_with(text: str) -> dict[int, str]:
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environ, argv = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if text.encode() in environ or text.encode() in argv:
            found[int(entry.name)] = argv.decode(errors="replace")
    return found


def until(claim: Callable[[], bool], *, seconds: float) -> float:
    """Wait until `claim` holds; return for how long."""
    started = time.monotonic()
    while not claim():
        assert time.monotonic() - started < seconds, "too slow"
        time.sleep(0.05)
    return time.monotonic() - started


@contextmanager
def superlink_open(root: Path) -> Iterator[SuperLink]:
    """Run a SuperLink and its SuperExec in `root`; no process of them is left afterwards."""
    port = free_port()
    superlink_prepare(root=root, port=port, hosts=["localhost"], now=datetime.now(UTC))
    started = time.monotonic()
    with _running(root, port):
        yield SuperLink(root, port, {"superlink ready": time.monotonic() - started})


@contextmanager
def _running(root: Path, port: int) -> Iterator[None]:
    processes = []
    for spec in superlink_commands(root, port):
        with spec.log_path.open("wb") as log:
            processes.append(subprocess.Popen(spec.argv, env=spec.env, stdout=log, stderr=log, start_new_session=True))
        if spec.health:
            until(lambda check=spec.health: superlink_is_healthy(check), seconds=60)
    try:
        yield
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGINT)
        for process in processes:
            process.wait(timeout=15)
        until(lambda: not processes_with(str(root)), seconds=15)

"""The schools of `bench-centre`: one process that speaks HTTP and counts what it was answered, for a centre at a port.

It is cheap, because its processor is the centre's as well: requests are put together before the clock starts,
connections stay open as nginx keeps them, and an answer is read only as far as the school needs it. Each school has
its own address in `X-Forwarded-For`. A school that hears of a release says at its next check-in that it runs it, and
one whose session is over opens another.

Each line that comes in says what to do, and one line of JSON tells what came of it: `contacts`, once for each school;
`fastest SECONDS`; `steady SECONDS RATE`; `heard`, what the schools were answered last.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import itertools
import json
import random
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from federation.trust.envelopes import SESSION, envelope_seal
from federation.wire.canonical import canonical_bytes
from federation.wire.enrolment import SessionRequest
from tests.benchmarks.checkins.documents import story

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
OK, CREATED, UNAUTHORIZED = 200, 201, 401
UNANSWERED = 0
"""In the place of a status, where the connection was refused or ended."""
GIVE_UP = 3


@dataclass
class School:
    """One school: what it sends next, and what it was answered."""

    node_id: str
    address: str
    envelope: Callable[[str], bytes]
    bodies: dict[str, bytes]
    token: str = ""
    plan_id: str = ""
    sent: int = 0
    heard: int = 0
    """Number of the last check-in that was answered."""
    word_sha256: str = ""
    sequence: int = 0
    state: str = "base"

    def body(self) -> bytes:
        """Return the next check-in."""
        self.sent += 1
        text = self.bodies[self.state]
        for name, value in (
            (b"NUMBER", str(self.sent)), (b"SEQUENCE", str(self.sequence)),
            (b"SHA256", f'"{self.word_sha256}"'), (b"PLAN", f'"{self.plan_id}"'),
        ):  # fmt: skip
            text = text.replace(b'"' + name + b'"', value.encode())
        return text

    def hear(self, content: bytes) -> None:
        """Take in the answer to the newest check-in."""
        self.heard = self.sent
        answer = json.loads(content)
        if self.state == "report":
            self.state = "adapter"
        if answer["round_plan"] is not None:
            self.plan_id = _payload(answer["round_plan"])["plan_id"]
        if answer["assignment"] is not None:
            self.word_sha256 = hashlib.sha256(base64.b64decode(answer["assignment"])).hexdigest()
            word = _payload(answer["assignment"])
            self.sequence = word["sequence"]
            if word["release"] is not None and self.state == "base":
                self.state = "report"


def _payload(envelope: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(base64.b64decode(json.loads(base64.b64decode(envelope))["payload"]))
    return content


@dataclass
class Tally:
    """Seconds of each answer, statuses of those that were refused, and how many sessions had to be opened anew."""

    seconds: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    renewed: int = 0
    took: float = 0.0

    def plain(self) -> dict[str, Any]:
        ordered = sorted(self.seconds)
        shares = {f"p{share}": ordered[int(len(ordered) * share / 100)] for share in (50, 95, 99)} if ordered else {}
        said = {"count": len(ordered), "refused": self.refused, "renewed": self.renewed, "took": self.took}
        return {**said, **shares}


class Connection:
    """One connection, opened again where the server closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes, school: School) -> tuple[int, bytes]:
        """Return status and body of the answer."""
        head = (
            f"POST /api/v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"X-Forwarded-For: {school.address}\r\nContent-Length: {len(body)}\r\n"
        )
        if school.token:
            head += f"Authorization: Bearer {school.token}\r\n"
        reader, answer = await self._ask(head.encode() + b"\r\n" + body)
        length = _LENGTH.search(answer)
        content = await reader.readexactly(int(length[1])) if length else b""
        if b"connection: close" in answer.lower():
            self._close()
        return int(answer[9:12]), content

    async def _ask(self, request: bytes) -> tuple[asyncio.StreamReader, bytes]:
        """Send it, and return where the answer is read, and its head."""
        while True:
            is_kept = self._pair is not None
            reader, writer = self._pair or await asyncio.open_connection("127.0.0.1", self._port)
            self._pair = reader, writer
            try:
                writer.write(request)
                return reader, await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                # The server had closed it while nobody asked anything; nginx opens another one too.
                self._close()
                if not is_kept:
                    raise

    def _close(self) -> None:
        if self._pair is not None:
            self._pair[1].close()
        self._pair = None


@dataclass(frozen=True, slots=True)
class Lane:
    """One connection with the schools that come by it, and the order in which they do, again and again."""

    connection: Connection
    schools: list[School]
    turns: Iterator[School]


def main() -> None:
    """Do what each line of the input asks for, and print what came of it, until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--adapter", required=True)
    parser.add_argument("--connections", type=int, required=True)
    asyncio.run(_play(parser.parse_args()))


async def _play(arguments: argparse.Namespace) -> None:
    schools = _schools(arguments)
    random.Random(7).shuffle(schools)
    shares = [schools[index :: arguments.connections] for index in range(min(arguments.connections, len(schools)))]
    lanes = [Lane(Connection(arguments.port), share, _turns(share)) for share in shares]
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, *numbers = line.split()
        sys.stdout.write(json.dumps(await _do(lanes, word, *map(float, numbers))) + "\n")
        sys.stdout.flush()


async def _do(lanes: Sequence[Lane], word: str, seconds: float = 0.0, rate: float = 0.0) -> dict[str, Any]:
    if word == "heard":
        return {school.node_id: (school.heard, school.state) for lane in lanes for school in lane.schools}
    if word == "contacts":
        return (await _each_once(lanes, _contact)).plain()
    tally = await (_for_seconds(lanes, seconds) if word == "fastest" else _at_rate(lanes, seconds, rate))
    return tally.plain()


async def _each_once(lanes: Sequence[Lane], call: Callable[[Connection, School, Tally], Awaitable[None]]) -> Tally:
    tally, began = Tally(), time.perf_counter()

    async def run(lane: Lane) -> None:
        for school in lane.schools:
            await call(lane.connection, school, tally)

    await asyncio.gather(*map(run, lanes))
    tally.took = time.perf_counter() - began
    return tally


async def _for_seconds(lanes: Sequence[Lane], seconds: float) -> Tally:
    """Check in on all connections at once, each as soon as it was answered."""
    tally, began = Tally(), time.perf_counter()

    async def run(lane: Lane) -> None:
        while time.perf_counter() - began < seconds:
            await _check_in(lane.connection, next(lane.turns), tally, since=time.perf_counter())

    await asyncio.gather(*map(run, lanes))
    tally.took = time.perf_counter() - began
    return tally


async def _at_rate(lanes: Sequence[Lane], seconds: float, rate: float) -> Tally:
    """Check in at the rate, whether or not the answers keep up; an answer's seconds count from when it was due."""
    tally, began = Tally(), time.perf_counter()

    async def run(index: int, lane: Lane) -> None:
        for turn in itertools.count():
            due = began + (turn * len(lanes) + index) / rate
            if due >= began + seconds:
                return
            if time.perf_counter() >= began + GIVE_UP * seconds:
                # It is far behind: what is not sent any more was refused as surely as by a status.
                tally.refused += [0] * round((began + seconds - due) * rate / len(lanes))
                return
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
            await _check_in(lane.connection, next(lane.turns), tally, since=due)

    await asyncio.gather(*(run(index, lane) for index, lane in enumerate(lanes)))
    tally.took = time.perf_counter() - began
    return tally


def _turns(schools: list[School]) -> Iterator[School]:
    """Yield schools in no order; each comes again and again."""
    rng = random.Random(len(schools))
    while True:
        yield rng.choice(schools)


async def _check_in(connection: Connection, school: School, tally: Tally, *, since: float) -> None:
    body = school.body()
    try:
        status, content = await connection.post("check-ins", body, school)
        if status == UNAUTHORIZED and await _session_open(connection, school) == CREATED:
            tally.renewed += 1
            status, content = await connection.post("check-ins", body, school)
    except (OSError, asyncio.IncompleteReadError):
        status, content = UNANSWERED, b""
    if status == OK:
        school.hear(content)
        tally.seconds.append(time.perf_counter() - since)
    else:
        tally.refused.append(status)


async def _contact(connection: Connection, school: School, tally: Tally) -> None:
    """Open a session and check in, as a PC does whose link has come."""
    began = time.perf_counter()
    status = await _session_open(connection, school)
    if status != CREATED:
        tally.refused.append(status)
        return
    await _check_in(connection, school, tally, since=began)


async def _session_open(connection: Connection, school: School) -> int:
    """Return the status of the last answer; the school has another token if that is `CREATED`."""
    school.token = ""
    status, content = await connection.post("nonces", canonical_bytes({"node_id": school.node_id}), school)
    if status != OK:
        return status
    status, content = await connection.post("sessions", school.envelope(json.loads(content)["nonce"]), school)
    if status == CREATED:
        school.token = json.loads(content)["token"]
    return status


def _schools(arguments: argparse.Namespace) -> list[School]:
    signed = json.loads(arguments.keys.read_text(encoding="utf-8"))
    return [_school(number, node_id, pem, arguments) for number, (node_id, pem) in enumerate(signed)]


def _school(number: int, node_id: str, pem: str, arguments: argparse.Namespace) -> School:
    key: Any = load_pem_private_key(pem.encode(), None)

    def envelope(nonce: str) -> bytes:
        payload = canonical_bytes(SessionRequest(node_id=node_id, nonce=nonce))
        return envelope_seal(payload=payload, kind=SESSION, key=key)

    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return School(node_id, address, envelope, _bodies(node_id, arguments.base, arguments.adapter))


def _bodies(node_id: str, base: str, adapter: str) -> dict[str, bytes]:
    return {
        kind: canonical_bytes(replace(said, assignment_sha256="SHA256", plan_id="PLAN"))
        .replace(b'"number":0', b'"number":"NUMBER"')
        .replace(b'"assignment_sequence":0', b'"assignment_sequence":"SEQUENCE"')
        .replace(b'"sequence":1', b'"sequence":"SEQUENCE"')
        for kind, said in story(node_id=node_id, base=base, adapter=adapter, now=datetime.now(UTC)).items()
    }


if __name__ == "__main__":
    main()

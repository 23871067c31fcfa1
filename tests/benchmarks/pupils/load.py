"""The pupils of `bench-page`: one process that speaks HTTP as their browsers do, for a node at an address.

It reads one JSON object on standard input and writes one line. Every pupil signs in by the class's code and a PIN
before the clock starts; then all begin within a few seconds, and each asks, reads the stream to its end, thinks, and
asks on. It is cheap, because its processor is the node's as well: a page is not parsed, only searched.
"""

from __future__ import annotations

import asyncio
import html
import json
import random
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx

from tests.benchmarks.pupils.questions import Asked, questions_draw

STREAM = re.compile(r'data-stream="(/answers/[0-9a-f-]{36}/stream/)"')
CONVERSATION = re.compile(r'name="conversation" value="([0-9a-f-]{36})"')
SOURCE = re.compile(r'<template class="source">(.*?)</template>', re.DOTALL)
PLACE = re.compile(r"\d+")
PART = {"HX-Request": "true"}
GIVE_UP_SECONDS = 600.0


@dataclass(slots=True)
class Heard:
    """What became of one question; seconds count from the moment in which the pupil sent it."""

    person: int
    number: int
    nonce: str
    asked_at: float = 0.0
    """Seconds on the clock that all pupils share."""
    conversation: str = ""
    places: list[int] = field(default_factory=list)
    """In the queue, as they were told one after another; 1 is next."""
    place_seconds: float = 0.0
    first_seconds: float = 0.0
    whole_seconds: float = 0.0
    pieces: str = ""
    """What the pieces spell."""
    shown: str = ""
    """The text of the answer that the last event lays out."""


class Pupil:
    """One pupil's browser."""

    def __init__(self, address: str, known: dict[str, Any]) -> None:
        self.person: int = known["person"]
        self._known = known
        self._http = httpx.AsyncClient(base_url=address, follow_redirects=True, timeout=GIVE_UP_SECONDS)
        self._conversation = ""

    async def sign_in(self, code: str) -> None:
        """Come in as a pupil does, and open the chat."""
        await self._http.get("/class/")
        await self._post("/class/", code=code)
        shown = await self._post("/class/who/", pupil=str(self._known["id"]), pin=self._known["pin"])
        if 'id="ask"' not in shown:
            raise RuntimeError("a pupil was not let in")

    async def lesson(self, asked: Asked) -> None:
        """Choose grade and subject in a new chat."""
        self._conversation = ""
        chosen = {"grade": str(asked.grade), "subject": asked.subject}
        await self._post("/lesson/", **chosen, **({"is_hinted": "1"} if asked.is_hinted else {}))

    async def ask(self, asked: Asked, number: int) -> Heard:
        """Ask, and read the answer to its end."""
        began = time.perf_counter()
        heard = Heard(person=self.person, number=number, nonce=asked.nonce, asked_at=began)
        turn = await self._post("/ask/", question=asked.question, conversation=self._conversation)
        found = CONVERSATION.search(turn)
        self._conversation = heard.conversation = found[1] if found else ""
        async for kind, text in self._events(STREAM.search(turn)):
            seconds = time.perf_counter() - began
            if kind == "place":
                heard.places += [int(number) for number in PLACE.findall(text)]
                heard.place_seconds = heard.place_seconds or seconds
            elif kind == "piece":
                heard.first_seconds = heard.first_seconds or seconds
                heard.pieces += html.unescape(text)
            elif kind == "done":
                heard.whole_seconds = seconds
                source = SOURCE.search(text)
                heard.shown = html.unescape(source[1]) if source else ""
        return heard

    @property
    def cookies(self) -> tuple[tuple[str, str], ...]:
        """What the browser keeps."""
        return tuple((cookie.name, cookie.value or "") for cookie in self._http.cookies.jar)

    async def leave(self) -> None:
        """Close the browser."""
        await self._http.aclose()

    async def _events(self, stream: re.Match[str] | None) -> AsyncIterator[tuple[str, str]]:
        if stream is None:
            raise RuntimeError("a question was not taken")
        kind, data = "", []
        async with self._http.stream("GET", stream[1]) as response:
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    kind, data = line.removeprefix("event: "), []
                elif line.startswith("data: "):
                    data.append(line.removeprefix("data: "))
                elif not line and data:
                    yield kind, "\n".join(data)
                    data = []

    async def _post(self, path: str, **fields: str) -> str:
        token = self._http.cookies.get("csrftoken", "")
        answer = await self._http.post(path, data={**fields, "csrfmiddlewaretoken": token}, headers=PART)
        answer.raise_for_status()
        return answer.text


async def chat(pupil: Pupil, asked: Sequence[Asked], *, begins_after: float, rng: random.Random) -> list[Heard]:
    """Return what the pupil heard who begins after so many seconds, and thinks some before each next question."""
    await pupil.lesson(asked[0])
    await asyncio.sleep(begins_after)
    heard = []
    for number, question in enumerate(asked):
        if number:
            await asyncio.sleep(rng.uniform(2.0, 8.0))
        heard.append(await pupil.ask(question, number))
    return heard


async def load(wanted: dict[str, Any]) -> list[Heard]:
    """Return what all pupils heard."""
    rng = random.Random(wanted["seed"])
    pupils = [Pupil(wanted["address"], known) for known in wanted["pupils"]]
    for pupil in pupils:
        await pupil.sign_in(wanted["code"])
    talks = [
        chat(
            pupil,
            questions_draw(run=wanted["seed"], pupil=number, count=wanted["questions"], rng=rng),
            begins_after=rng.uniform(0.0, wanted["within_seconds"]),
            rng=random.Random(f"{wanted['seed']} {number}"),
        )
        for number, pupil in enumerate(pupils)
    ]
    heard = await asyncio.gather(*talks)
    for pupil in pupils:
        await pupil.leave()
    return [each for talk in heard for each in talk]


def main() -> int:
    """Let the pupils chat."""
    heard = asyncio.run(load(json.loads(sys.stdin.read())))
    sys.stdout.write(json.dumps([asdict(each) for each in heard], ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

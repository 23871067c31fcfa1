"""`make bench-page`: a school's page as pupils meet it: the first paint, the bytes of a visit, sixteen who ask at once.

The node runs as it is installed: the real page, the real engine on the stand-in's package, real Chromium. Pupils are
sixteen signed-in sessions in another process (`tests.benchmarks.pupils`), so that their browsers' work is not the
node's. Visits take turns, page after page and with the brake and without, round after round; figures are medians of
the rounds. Rounds: 5 of visits and 3 of pupils, or BENCH_ROUNDS of each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

import httpx
from rich.console import Console

from federation.demo.link import Link
from federation.inference.package import TOKENIZER
from federation.inference.prompt import ChatTokenizer
from tests.benchmarks.first_visits import Place, chromium, paint_seconds, visit_bytes
from tests.benchmarks.pupils.load import Heard, Pupil
from tests.benchmarks.pupils.verdict import Waits, waits_count
from tests.benchmarks.report import BENCH_ROOT, Row, report, row
from tests.standin_node import standin_node
from tests.standin_package import TREE, standin_package
from tests.stations import free_port

WORK = BENCH_ROOT / "page"
PARTS = ("visits", "pupils")
QUESTIONS = 3
WITHIN_SECONDS = 4.0
PAINT_AT_MOST, BYTES_AT_MOST, FIRST_WORD_AT_MOST = 1.0, 150e3, 5.0
_console = Console(stderr=True)


def main() -> int:
    """Start a node, measure the parts that were asked for; return 0 when every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parts = parser.parse_args().parts
    shutil.rmtree(WORK / "node", ignore_errors=True)
    (WORK / "node").mkdir(parents=True)
    with standin_node(WORK / "node") as (_commands, address):
        school = _rows("make")
        rows = _visits(address, school) if "visits" in parts else []
        rows += _pupils(address, school) if "pupils" in parts else []
    return report("page", rows)


def _visits(address: str, school: dict[str, Any]) -> list[Row]:
    places = _places(address, school)
    found: dict[tuple[str, bool], list[float]] = {}
    with chromium() as browser:
        for number in range(_rounds(5)):
            for place in places:
                for is_slow in (False, True):
                    seconds = paint_seconds(browser, address, place, is_slow=is_slow)
                    found.setdefault((place.name, is_slow), []).append(seconds)
            _console.print(f"visits: round {number + 1}")
        moved = {place.name: visit_bytes(browser, address, place) for place in places}
        wire = _wire_bytes(address, places[0], browser)
    (WORK / "visits.json").write_text(json.dumps({f"{n}, slow: {s}": v for (n, s), v in found.items()}, indent=1))
    rows = []
    for (name, is_slow), values in found.items():
        bar = {"at_most": PAINT_AT_MOST} if is_slow else {}
        rows.append(row(_named("first_paint_seconds", name, is_slow=is_slow), median(values), "s", **bar))
    for name, (first, second) in moved.items():
        rows.append(row(_named("first_visit_bytes", name), first, "bytes", at_most=BYTES_AT_MOST))
        rows.append(row(_named("second_visit_bytes", name), second, "bytes"))
    return [*rows, row("first_visit_wire_bytes", wire, "bytes both ways, all that the app keeps too")]


def _named(figure: str, place: str, *, is_slow: bool = True) -> str:
    words = [figure, "" if place == "chat" else place, "" if is_slow else "unbraked"]
    return "_".join(filter(None, words))


def _wire_bytes(address: str, place: Place, browser: Any) -> int:
    """Return what a first visit moves over a real connection, what the app's worker fetches included."""
    link = Link(port=free_port(), target_port=int(address.rpartition(":")[2]))
    try:
        visit_bytes(browser, f"http://127.0.0.1:{link.port}", place)
        return link.bytes_total
    finally:
        link.close()


def _places(address: str, school: dict[str, Any]) -> list[Place]:
    pupil = asyncio.run(_pupils_cookies(address, school))
    with httpx.Client(base_url=address, follow_redirects=True) as teacher:
        teacher.get("/sign-in/")
        token = teacher.cookies["csrftoken"]
        teacher.post("/sign-in/", data={**school["teacher"], "csrfmiddlewaretoken": token}).raise_for_status()
        teachers = tuple((cookie.name, cookie.value or "") for cookie in teacher.cookies.jar)
    return [
        Place(name="chat", path="/"),
        Place(name="sign_in", path="/sign-in/"),
        Place(name="history", path=f"/c/{school['conversation']}/", cookies=pupil),
        Place(name="queue", path="/ratings/", cookies=teachers),
    ]


async def _pupils_cookies(address: str, school: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    pupil = Pupil(address, school["pupils"][0])
    await pupil.sign_in(school["code"])
    await pupil.leave()
    return pupil.cookies


def _pupils(address: str, school: dict[str, Any]) -> list[Row]:
    tokenizer = ChatTokenizer(standin_package() / TOKENIZER)
    runs = []
    for number in range(_rounds(3)):
        heard = _chat(address, school, seed=number)
        runs.append(waits_count(heard, _rows("kept"), count_tokens=lambda text: len(tokenizer.words(text))))
        (WORK / f"pupils-{number}.json").write_text(json.dumps([asdict(each) for each in heard], ensure_ascii=False))
        _console.print(f"pupils: round {number + 1}, {runs[-1]}")
    return waits_rows(runs)


def waits_rows(runs: Sequence[Waits]) -> list[Row]:
    """Return the figures of some runs: medians, and sums of what was wrong."""
    return [
        row("ttft_p95_16_seconds", median(run.first_p95 for run in runs), "s", at_most=FIRST_WORD_AT_MOST),
        row("ttft_p50_16_seconds", median(run.first_p50 for run in runs), "s"),
        row("ttft_max_over_median", median(run.first_max_over_median for run in runs), "times"),
        row("answer_p95_16_seconds", median(run.whole_p95 for run in runs), "s to the end of the answer"),
        row("pupil_tokens_per_second", median(run.tokens_per_second_p50 for run in runs), "tokens/s each"),
        row(
            "waited_untold",
            sum(run.untold for run in runs),
            "questions over 2 s behind another without a place",
            at_most=0,
        ),
        row("unanswered", sum(run.unanswered for run in runs), "questions", at_most=0),
        row("mixed_up", sum(run.mixed_up for run in runs), "answers not kept as read by the asker", at_most=0),
    ]


def _chat(address: str, school: dict[str, Any], *, seed: int) -> list[Heard]:
    wanted = {
        "address": address, "code": school["code"], "pupils": school["pupils"], "seed": seed,
        "questions": QUESTIONS, "within_seconds": WITHIN_SECONDS,
    }  # fmt: skip
    return [Heard(**each) for each in _child("tests.benchmarks.pupils.load", told=json.dumps(wanted))]


def _rows(job: str) -> Any:
    return _child("tests.benchmarks.pupils.rows", job)


def _child(*words: str, told: str = "") -> Any:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "node.settings", "SORO_NODE_ROOT": str(WORK / "node")}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=TREE, env=environment, check=True, input=told, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def _rounds(usual: int) -> int:
    return int(os.environ.get("BENCH_ROUNDS", str(usual)))


if __name__ == "__main__":
    sys.exit(main())

"""A centre whose every process, its database's too, is killed again and again while schools hand in.

SuperLink, SuperExec, ServerApp, worker, web server, supervisor, database, gate and the schools' contacts are real ones.
All of the centre dies at once by SIGKILL, at random moments, the last time while the round is combined.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from federation.adapter_file import adapter_read
from federation.inference.package import Perplexity, card_write, package_open
from tests.learning.killed_centre import KilledCentre
from tests.learning.killed_school import School, Way
from tests.postgresql_cluster import cluster_open
from tests.real_superlink import processes_with
from tests.tiny_checkpoint import package_make, tiny_prepared

pytestmark = pytest.mark.slow

SEED = 20261126
WAYS = (
    (Way.SUPERNODE,),
    (Way.DURABLE,),
    (Way.HTTPS,),
    (Way.HTTPS,),
    (Way.DURABLE,),
    (Way.DURABLE, Way.HTTPS),
)
"""By school; the last one sends the same update by both ways at once."""
REGISTERED = "SELECT 1 FROM schools_node WHERE flwr_node_id <> ''"
COMBINED = "SELECT 1 FROM training_round WHERE number = 1 AND status = 'aggregating' AND attempt_at IS NOT NULL"
ENDED = "SELECT 1 FROM training_round WHERE number = 1 AND ended_at IS NOT NULL"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One cut: which further schools begin, what it waits for, and within which seconds of that it comes."""

    why: str
    beginning: tuple[int, ...]
    due: Callable[[KilledCentre, list[School]], object]
    seconds: float


CUTS = (
    Cut(
        why="while the first schools call",
        beginning=(0, 1, 2),
        due=lambda _centre, schools: all(school.calls for school in schools[:3]),
        seconds=4.0,
    ),
    Cut(
        why="while a Flower run collects",
        beginning=(3, 4, 5),
        due=lambda centre, schools: schools[4].calls and "ServerApp" in centre.names(),
        seconds=4.0,
    ),
    Cut(
        why="while the round is combined",
        beginning=(),
        due=lambda centre, _schools: centre.rows(COMBINED),
        seconds=0.5,
    ),
)


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """A base of some thousand weights, whose figures the gate can compare with."""
    folder = tmp_path_factory.mktemp("tiny")
    package = package_make(tiny_prepared(folder, context_tokens=512), folder, context_tokens=512)
    measured = dict.fromkeys(("tg", "en"), Perplexity(fp32=50.0, shipped=50.0))
    card_write(replace(package_open(package), perplexity=measured), folder=package)
    return package


@pytest.fixture
def centre(tmp_path) -> Iterator[KilledCentre]:
    with cluster_open() as cluster:
        centre = KilledCentre(root=tmp_path / "centre", cluster=cluster)
        centre.root.mkdir()
        try:
            yield centre
        finally:
            centre.stop()


def test_no_accepted_update_is_lost_or_counted_twice_by_a_centre_that_is_killed_whole(centre, package, tmp_path):
    rng = random.Random(SEED)
    base, schools = _opened(centre, package, tmp_path / "schools")
    hits, left = [], []
    try:
        for cut in CUTS:
            for number in cut.beginning:
                schools[number].begin()
            centre.wait(cut.why, lambda cut=cut: cut.due(centre, schools))
            # The moment is the point: no state is waited for here.
            time.sleep(later := rng.uniform(0, cut.seconds))
            hits.append(centre.kill(f"{cut.why}, {later:.2f} s later", rng))
            centre.database_start()
            left.append(centre.left())
            centre.start()
        centre.wait("a receipt for every school", lambda: all(school.receipt for school in schools))
        centre.wait("the end of the round", lambda: centre.rows(ENDED))
    finally:
        for school in schools:
            school.end()
    found = centre.call("outcome()")
    centre.stop()

    told = centre.told()
    assert any("ServerApp" in hit for hit in hits), told
    assert left == ["collecting", "collecting", "aggregating"], told
    assert all(school.receipt.accepted for school in schools), told
    sent = sorted(school.sha256 for school in schools)
    first, second = found["rounds"]
    assert sorted(update["digest"] for update in first["updates"]) == sent, told
    assert (first["status"], first["why_ended"]) == ("completed", "enough_updates"), told
    assert (first["accepted"], second["updates"]) == (len(schools), []), told
    assert (sorted(found["contributions"]), found["adapters"]) == (sent, 1), told
    _assert_sum_of(schools, Path(found["adapter"]), base, told)
    assert processes_with(str(tmp_path)) == [], told


def _opened(centre: KilledCentre, package: Path, folder: Path) -> tuple[str, list[School]]:
    """Return the base, and schools with finished updates to the first plan on it, when a Flower run collects."""
    opened = centre.call(f"prepare(package={str(package)!r}, schools={len(WAYS)})")
    centre.start()
    schools = [
        School.enrolled(
            folder / str(number),
            number=number,
            address=centre.address,
            ways=ways,
            tell=centre.tell,
            code=code,
            root_sha256=opened["root_sha256"],
            base=opened["base"],
        )
        for number, (ways, code) in enumerate(zip(WAYS, opened["codes"], strict=True))
    ]
    centre.wait("the schools' registration", lambda: len(centre.rows(REGISTERED)) == len(schools))
    centre.wait("the first ServerApp", lambda: "ServerApp" in centre.names())
    return opened["base"], schools


def _assert_sum_of(schools: list[School], adapter_file: Path, base: str, told: str) -> None:
    """The adapter is the mean of the schools' updates, each once, weighted by labels."""
    adapter = adapter_read(adapter_file, base_digest=base)
    total = sum(school.labels for school in schools)
    assert adapter.b.keys() == schools[0].learnt.keys()
    for slot, found in adapter.b.items():
        mean = sum(school.labels * school.learnt[slot].astype(np.float64) for school in schools) / total
        # An adapter travels as int8, each row by its largest number.
        step = np.abs(mean).max(axis=1, keepdims=True) / 127
        assert (np.abs(found - mean) <= 0.51 * step).all(), f"{slot}{told}"

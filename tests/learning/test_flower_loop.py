"""The round's loop against a simulated SuperLink on a virtual clock."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from flwr.app import Context, Message, RecordDict

from federation.learning.flower.client import OutboxUnset, app
from federation.learning.flower.collection import Collection, Ended, Terms
from federation.learning.flower.inbox import RoundInbox
from federation.learning.flower.messages import FileIdRefused, answer_make, answer_read, question_make
from federation.learning.flower.server import run_record
from tests.simulated_grid import SimulatedGrid, SimulatedNode, SimulatedPool, windows_draw

SEASON = "season-1"
ROUND = "season-1-4"


def ready(update: bytes):
    return lambda question: answer_make(update=update, question=question)


def not_ready(question: Message) -> Message:
    return answer_make(update=None, question=question)


def school(number: int, *windows: tuple[float, float], **fields) -> SimulatedNode:
    fields.setdefault("answer", ready(f"update of {number}".encode()))
    return SimulatedNode(number, f"school-{number}", list(windows), **fields)


def collect(grid: SimulatedGrid, inbox: Path, *, wanted: int = 1, duration_seconds: float = 3600, **terms):
    terms = Terms(
        season_id=SEASON,
        round_id=ROUND,
        wanted=wanted,
        duration_seconds=duration_seconds,
        max_update_bytes=1000,
        **terms,
    )
    collection = Collection(
        grid=grid,
        inbox=RoundInbox(inbox=inbox, round_id=ROUND),
        terms=terms,
        clock=grid.clock,
        sleep=grid.advance,
        pool=SimulatedPool(grid),
    )
    return collection.run(), collection


def files(inbox: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (inbox / ROUND).iterdir()}


def test_a_second_update_of_a_node_lies_beside_its_first_whoever_wrote_that(tmp_path):
    """Several SuperLinks collect into the folder of one round, and the centre renames what it has judged."""
    one, other = (RoundInbox(inbox=tmp_path, round_id=ROUND) for _ in range(2))
    first = one.update_write(node="school-1", update=b"first")
    second = other.update_write(node="school-1", update=b"second")
    assert first.read_bytes() == b"first"
    first.rename(first.with_name(first.name + ".judged"))
    assert one.update_write(node="school-1", update=b"third").name == "school-1-3.update"
    assert second.read_bytes() == b"second"
    assert other.collected_nodes() == {"school-1"}


def test_the_simulated_superlink_destroys_an_answer_that_is_pulled_while_its_node_is_away():
    grid = SimulatedGrid([school(1, (0, 7))])
    (message_id,) = grid.push_messages(
        [question_make(season_id=SEASON, round_id=ROUND, flower_node_id=1, ttl_seconds=3600)]
    )
    for _ in range(10):
        grid.advance(1)
    assert grid.pull_messages([message_id])[0].error.code == 5
    assert grid.destroyed_answers == 1


def test_a_school_that_leaves_between_its_answer_and_the_pull_loses_nothing(tmp_path):
    away = school(1, (0, 100), (500, 600), leaves_after_answer=True)
    grid = SimulatedGrid([away])
    ended, _ = collect(grid, tmp_path)
    assert (ended, grid.destroyed_answers) == (Ended.WANTED, 0)
    assert grid.now > 500
    assert files(tmp_path) == {"school-1-1.update": b"update of 1"}
    assert len(away.asked) == 1


@pytest.mark.parametrize(("margin_seconds", "destroyed"), [(15, 0), (0, 1)])
def test_the_margin_keeps_an_answer_whose_link_breaks_while_the_loop_looks_away(tmp_path, margin_seconds, destroyed):
    # The link breaks after the question was delivered; the SuperLink believes the node online until 60 s.
    cut = school(1, (0, 15), (500, 600), work_seconds=20, leaves_cleanly=False)
    grid = SimulatedGrid([cut], lag_seconds=7)
    collect(grid, tmp_path, lease_seconds=300, margin_seconds=margin_seconds)
    assert grid.destroyed_answers == destroyed


def test_a_school_whose_supernode_was_killed_is_asked_again(tmp_path):
    killed = school(1, (0, 4), (200, 400), work_seconds=10, killed_at=4, leaves_cleanly=False)
    grid = SimulatedGrid([killed])
    ended, collection = collect(grid, tmp_path)
    assert (ended, len(killed.asked), collection.counts["lease_over"]) == (Ended.WANTED, 2, 1)


def test_a_slow_upload_holds_up_no_other_school(tmp_path):
    slow = school(1, (0, 3600), upload_seconds=900)
    grid = SimulatedGrid([slow, *(school(number, (100, 200)) for number in range(2, 7))])
    ended, collection = collect(grid, tmp_path, wanted=5)
    assert ended is Ended.WANTED
    assert grid.now < 130
    assert "school-1" not in collection.collected_nodes()
    grid.run_end()
    assert collect(grid, tmp_path, wanted=6)[0] is Ended.WANTED


@pytest.mark.parametrize(("silence_seconds", "lost"), [(100, 0), (250, 1)])
def test_an_upload_that_stalls_too_long_is_asked_for_again(tmp_path, silence_seconds, lost):
    start, cut = 0, 25
    stalled = school(1, (start, cut), (cut + silence_seconds, 2000), upload_seconds=60, leaves_cleanly=False)
    grid = SimulatedGrid([stalled])
    ended, collection = collect(grid, tmp_path)
    assert (ended, grid.lost_uploads, len(stalled.asked)) == (Ended.WANTED, lost, 1 + lost)
    assert collection.counts["error_3"] == lost
    assert files(tmp_path) == {"school-1-1.update": b"update of 1"}


def test_a_killed_supernode_is_refused_until_it_is_seen_to_be_away():
    grid = SimulatedGrid([school(1)])
    assert grid.supernode_open(1, until=1000)
    grid.supernode_end(1, is_clean=False)
    assert not grid.supernode_open(1, until=1000)
    grid.advance(61)
    assert grid.supernode_open(1, until=1000)
    grid.supernode_end(1, is_clean=True)
    assert grid.supernode_open(1, until=1000)


def test_a_restarted_run_goes_on_and_asks_nobody_twice(tmp_path):
    first, second = school(1, (0, 3600)), school(2, (1800, 3600))
    grid = SimulatedGrid([first, second])
    assert collect(grid, tmp_path, wanted=2, duration_seconds=600)[0] is Ended.DEADLINE
    # The centre has judged the first one meanwhile, and renamed its file.
    (tmp_path / ROUND / "school-1-1.update").rename(tmp_path / ROUND / "school-1-1.update.accepted")
    ended, collection = collect(grid, tmp_path, wanted=2)
    assert (ended, collection.counts["resumed"]) == (Ended.WANTED, 1)
    assert len(first.asked) == len(second.asked) == 1
    assert set(files(tmp_path)) == {"school-1-1.update.accepted", "school-2-1.update"}


def test_a_run_that_meets_its_deadline_says_so_and_who_is_missing(tmp_path):
    grid = SimulatedGrid([school(1, (0, 900)), school(2, (0, 900), answer=not_ready), school(3)])
    ended, collection = collect(grid, tmp_path, wanted=3, duration_seconds=300)
    record = run_record(collection, ended=ended, seconds=300)
    assert (record["ended"], record["wanted"], record["collected"]) == ("deadline", 3, ["school-1"])
    assert collection.counts["nothing_ready"] in range(8, 11)


def test_a_run_ends_when_the_centre_asks_for_it(tmp_path):
    grid = SimulatedGrid([school(1, (0, 900), answer=not_ready)])
    (tmp_path / ROUND).mkdir()
    (tmp_path / ROUND / "close").touch()
    assert collect(grid, tmp_path)[0] is Ended.CLOSED


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        (ready(b"x" * 1001), "refused"),
        (ready(b""), "refused"),
        (lambda question: Message(RecordDict(), reply_to=question), "refused"),
    ],
)
def test_a_malformed_answer_is_refused_and_the_round_goes_on(tmp_path, answer, counted):
    grid = SimulatedGrid([school(1, (0, 900), answer=answer), school(2, (100, 900))])
    ended, collection = collect(grid, tmp_path)
    assert ended is Ended.WANTED
    assert files(tmp_path) == {"school-2-1.update": b"update of 2"}
    assert collection.counts[counted] >= 1


def test_a_rejected_question_is_put_again_later(tmp_path):
    class FirstPushRejected(SimulatedGrid):
        def push_messages(self, messages):
            return super().push_messages(messages) if self.now > 10 else ["" for _ in messages]

    grid = FirstPushRejected([school(1, (0, 900))])
    ended, collection = collect(grid, tmp_path)
    assert (ended, collection.counts["rejected"], collection.counts["asked"]) == (Ended.WANTED, 1, 1)


def test_a_node_name_that_is_no_file_name_never_becomes_one(tmp_path):
    node = school(7, (0, 900))
    node.name = "../../outside"
    assert collect(SimulatedGrid([node]), tmp_path)[0] is Ended.WANTED
    assert set(files(tmp_path)) == {"7-1.update"}


def test_hundreds_of_schools_that_come_and_go_are_collected_without_losing_an_answer(tmp_path):
    rng = random.Random(7)
    day = 86_400
    nodes = [
        school(
            number,
            *windows_draw(rng, until_seconds=day, a_day=3, mean_seconds=240),
            leaves_cleanly=rng.random() < 0.5,
            work_seconds=rng.uniform(1, 30),
        )
        for number in range(1, 101)
    ]
    grid = SimulatedGrid(nodes)
    ended, collection = collect(grid, tmp_path, wanted=70, duration_seconds=day, tick_seconds=2.0)
    assert (ended, grid.destroyed_answers) == (Ended.WANTED, 0)
    assert len(files(tmp_path)) == len(collection.collected_nodes()) >= 70


def client_answer(season_id: str, node_config) -> Message:
    question = question_make(season_id=season_id, round_id=ROUND, flower_node_id=2, ttl_seconds=60)
    question.metadata.__dict__["_message_id"] = "question"
    context = Context(run_id=1, node_id=2, node_config=node_config, state=RecordDict(), run_config={}, series_id=1)
    return app(message=question, context=context)


def test_the_client_reads_no_file_outside_its_outbox(tmp_path):
    SimulatedGrid([])
    (tmp_path / "outbox").mkdir()
    (tmp_path / "secret.update").write_bytes(b"secret")
    with pytest.raises(FileIdRefused):
        client_answer("../secret", {"outbox": str(tmp_path / "outbox")})
    with pytest.raises(OutboxUnset):
        client_answer(SEASON, {})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"season-1-9.update": b"9", "season-1-10.update": b"10"}, b"9"),
        ({"season-2-1.update": b"x", "season-1-a.update": b"x", "season-1-.update": b"x", "plan.update": b"x"}, None),
    ],
)
def test_the_client_hands_over_the_oldest_update_of_the_season_that_it_is_asked_for(tmp_path, files, expected):
    SimulatedGrid([])
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    answer = answer_read(client_answer(SEASON, {"outbox": str(tmp_path)}), max_size_bytes=99)
    assert answer.update == expected
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files

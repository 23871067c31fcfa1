"""Several answers at once, against the same answers one by one."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central.releases.recipe import EXPORTERS
from federation.inference.batch import Batch
from federation.inference.graph_session import NO_FACTORS, SCORE_LOGITS, GraphSession
from federation.inference.package import package_open
from tests.learning.tiny_package import tiny_package

CONTEXT = 128
END = 5


@pytest.fixture(scope="module")
def session(packaged):
    return GraphSession(packaged / "package", rows=4, context_tokens=CONTEXT, threads=1)


@pytest.fixture
def batch(session):
    batch = Batch(session, ends=frozenset({END}), memory_tokens=10_000)
    batch.idle_forget()
    return batch


@pytest.fixture(scope="module")
def factors(packaged):
    from onnxruntime import OrtValue  # noqa: PLC0415 - only this fixture makes factors by hand

    draw = np.random.default_rng(3)
    made = {}
    for slot in package_open(packaged / "package").slots:
        made[f"lora.{slot.name}.A"] = OrtValue.ortvalue_from_numpy(
            draw.normal(0, 0.1, (slot.d_in, 2)).astype(np.float32)
        )
        made[f"lora.{slot.name}.B"] = OrtValue.ortvalue_from_numpy(
            draw.normal(0, 0.1, (2, slot.d_out)).astype(np.float32)
        )
    return made


def prompt(seed, length):
    return [2, *np.random.default_rng(seed).integers(10, 300, length).tolist()]


def finish(batch, generations):
    tokens = {generation: [] for generation in generations}
    while not all(generation.is_over for generation in generations):
        for generation, token in batch.step():
            tokens[generation].append(token)
    return [tokens[generation] for generation in generations]


def alone(session, ids, count, factors=NO_FACTORS):
    batch = Batch(session, ends=frozenset({END}), memory_tokens=10_000)
    batch.idle_forget()
    generation = batch.open(ids, max_new_tokens=count, factors=factors)
    (tokens,) = finish(batch, [generation])
    batch.close(generation)
    batch.idle_forget()
    return tokens


def test_answers_together_are_the_answers_one_by_one(session, batch):
    prompts = [prompt(seed, length) for seed, length in ((1, 3), (2, 40), (3, 17), (4, 1))]
    expected = [alone(session, ids, 9) for ids in prompts]
    together = finish(batch, [batch.open(ids, max_new_tokens=9) for ids in prompts])
    assert together == expected
    assert not batch.has_room


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    coming=st.lists(
        st.tuples(st.integers(0, 5), st.integers(1, 30), st.integers(1, 6), st.integers(0, 3)), min_size=1, max_size=8
    )
)
def test_whoever_joins_and_leaves_nobody_gets_anothers_words(session, batch, coming):
    waiting, active, got = list(enumerate(coming)), {}, {}
    while waiting or active:
        while waiting and batch.has_room and waiting[0][1][3] <= len(active):
            number, (seed, length, count, _) = waiting.pop(0)
            active[batch.open(prompt(seed, length), max_new_tokens=count)] = number
            got[number] = []
        if not active and waiting:
            number, entry = waiting[0]
            waiting[0] = (number, (*entry[:3], 0))
        for generation, token in batch.step():
            got[active[generation]].append(token)
        for generation in [generation for generation in active if generation.is_over]:
            batch.close(generation)
            del active[generation]
    for number, (seed, length, count, _) in enumerate(coming):
        assert got[number] == alone(session, prompt(seed, length), count)


def test_the_next_turn_of_a_conversation_is_read_from_where_the_last_one_ended(session, batch):
    first = batch.open(prompt(1, 30), max_new_tokens=4)
    (answer,) = finish(batch, [first])
    batch.close(first)
    ids = [*prompt(1, 30), *answer, *prompt(9, 5)]
    second = batch.open(ids, max_new_tokens=4)
    # The last token of the answer was picked and never read.
    assert second.reused_tokens >= 31 + len(answer) - 1
    (continued,) = finish(batch, [second])
    assert continued == alone(session, ids, 4)


def test_a_common_opening_is_copied_from_an_answer_that_is_still_on_its_way(session, batch):
    opening = prompt(1, 20)
    first = batch.open([*opening, 20, 21], max_new_tokens=6)
    batch.step()
    second = batch.open([*opening, 30, 31, 32], max_new_tokens=6)
    assert (first.reused_tokens, second.reused_tokens) == (0, 21)
    assert finish(batch, [first, second])[1] == alone(session, [*opening, 30, 31, 32], 6)


def test_what_was_read_with_one_adapter_is_not_reused_with_another(session, batch, factors):
    ids = prompt(1, 20)
    plain = batch.open(ids, max_new_tokens=5)
    adapted = batch.open(ids, max_new_tokens=5, factors=factors)
    assert adapted.reused_tokens == 0
    together = finish(batch, [plain, adapted])
    assert together == [alone(session, ids, 5), alone(session, ids, 5, factors)]
    assert together[0] != together[1]


def test_idle_rows_are_emptied_when_they_hold_more_than_is_allowed(session):
    batch = Batch(session, ends=frozenset({END}), memory_tokens=30)
    for seed in (1, 2):
        generation = batch.open(prompt(seed, 20), max_new_tokens=2)
        finish(batch, [generation])
        batch.close(generation)
    batch.step()
    assert sum(session.cache.touched(row) for row in range(session.cache.rows)) <= 30
    again = batch.open(prompt(2, 20), max_new_tokens=1)
    assert again.reused_tokens == 20


def test_the_answer_ends_at_an_ending_token_or_after_its_budget(session, batch):
    tokens = alone(session, prompt(1, 6), 8)
    assert len(tokens) == 8
    ending = Batch(session, ends=frozenset({tokens[3]}), memory_tokens=10_000)
    generation = ending.open(prompt(1, 6), max_new_tokens=8)
    (until,) = finish(ending, [generation])
    assert until == tokens[: tokens.index(tokens[3])]
    assert generation.is_complete


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_what_layers_no_longer_look_back_to_may_go_and_the_answer_stays(tmp_path, exporter):
    package = tiny_package(tmp_path, context_tokens=512, exporter=exporter)
    session = GraphSession(package, rows=2, context_tokens=512, threads=1)
    assert any(session.cache.shape.windows)
    batch = Batch(session, ends=frozenset(), memory_tokens=10_000)
    ids = [2, *np.random.default_rng(8).integers(6, 200, 300).tolist()]
    generation = batch.open(ids, max_new_tokens=20)
    (tokens,) = finish(batch, [generation])
    assert not session.cache.shared_prefix(0, ids[:250])
    for count, token in enumerate(tokens):
        # Read from the beginning into a row of its own, all at once, with nothing gone.
        row = batch.idle_row()
        expected = session.score(
            row=row, ids=ids + tokens[:count], targets=[2], factors=NO_FACTORS, output=SCORE_LOGITS
        )
        assert token == expected[0].argmax()


def test_what_a_whole_class_is_told_is_read_once_though_all_come_at_once(session, batch):
    told = prompt(1, 40)
    questions = [[*told, 20 + pupil, 30, 31] for pupil in range(3)]
    asked = [batch.open(ids, max_new_tokens=5) for ids in questions]
    assert [generation.reused_tokens for generation in asked] == [0, 0, 0]
    together = finish(batch, asked)
    assert [generation.reused_tokens for generation in asked] == [0, len(told), len(told)]
    assert together == [alone(session, ids, 5) for ids in questions]


def test_short_prompts_are_read_in_one_step_and_the_oldest_first(session, batch):
    asked = [batch.open(prompt(seed, length), max_new_tokens=4) for seed, length in ((1, 60), (2, 60), (3, 110))]
    assert batch.is_behind
    batch.step()
    assert [generation.produced for generation in asked] == [1, 1, 0]
    assert not batch.is_behind
    # Whoever leaves gives the row to the last; the order of coming stays.
    batch.close(asked[0])
    late = batch.open(prompt(4, 100), max_new_tokens=4)
    batch.step()
    assert (asked[2].produced, late.produced) == (1, 0)

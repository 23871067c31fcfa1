"""Two answers are compared blind: whose they are is told after the choice, which is final."""

import asyncio

import pytest
from django.test import AsyncClient
from django.urls import reverse

from federation.trust.release_bytes import index_build, index_digest
from federation.wire.canonical import canonical_bytes
from federation.wire.releases import ReleaseKind
from node.chat.engine_events import EngineEvent, EventKind
from node.installed.state import Phase, Slots, slots_write
from node.outbox.models import Parcel
from node.ratings.comparing import (
    ComparisonRefused,
    comparison_begin,
    comparison_choose,
    comparison_write,
    engine_requests,
    tallies_count,
)
from node.ratings.models import Comparison
from node.root import engine_socket_path
from tests.node.conftest import NOW
from tests.node.engine_simulator import EngineSimulator, release_lay

pytestmark = pytest.mark.django_db
QUESTION = "Чаро осмон кабуд аст?"


@pytest.fixture
def desk(client, root, teacher):
    client.force_login(teacher)
    return client


@pytest.fixture
def engine(root):
    simulator = EngineSimulator(engine_socket_path(root))
    simulator.start()
    yield simulator
    simulator.stop()


def begun(teacher):
    return comparison_begin(teacher=teacher, question=QUESTION, now=NOW)


def done(text, version):
    return EngineEvent(kind=EventKind.DONE, text=text, version=version, release="c" * 64)


def releases_lay(root):
    """Install a base and two adapters on it; return the digests of the base, the one before and the one that runs."""
    release_lay(root)
    base = slots_digest(root)
    digests = []
    for version in (4, 5):
        made = root / f"adapter-{version}"
        made.mkdir()
        index = index_build(
            package=made, kind=ReleaseKind.ADAPTER, version=version, title="t", base=base, contributions=()
        )
        folder = made.rename(root / "releases" / index_digest(index))
        (folder / "index.json").write_bytes(canonical_bytes(index))
        digests.append(folder.name)
    slots_write(root, Slots(current=digests[1], previous=digests[0], phase=Phase.COMMITTED))
    return base, *digests


def slots_digest(root):
    (folder,) = (root / "releases").iterdir()
    return folder.name


@pytest.mark.parametrize("drawn", [0, 1])
def test_the_release_before_answers_against_the_one_that_runs_and_the_sides_are_drawn(teacher, root, drawn):
    _base, before, _running = releases_lay(root)
    requests = engine_requests(comparison=begun(teacher), root=root, draw=lambda _n: drawn)
    assert [request.release for request in requests] == (["", before] if drawn == 0 else [before, ""])
    assert {request.temperature for request in requests} == {0.0}
    assert len({request.generation for request in requests}) == 2


def test_where_there_is_one_release_alone_it_answers_twice_by_two_draws(teacher, root):
    release_lay(root)
    numbers = iter([11, 22, 0])
    requests = engine_requests(comparison=begun(teacher), root=root, draw=lambda _n: next(numbers))
    assert [(request.release, request.seed) for request in requests] == [("", 11), ("", 22)]
    assert all(request.temperature > 0 for request in requests)


def test_whose_an_answer_is_stands_on_the_page_only_after_the_choice(desk, teacher):
    comparison = begun(teacher)
    comparison_write(comparison=comparison, left=done("Чапи.", 7), right=done("Рости.", 8))
    path = reverse("comparison", args=[comparison.pk])
    assert "Нашри" not in desk.get(path).text
    desk.post(reverse("comparison-choose", args=[comparison.pk]), {"choice": "right"})
    shown = desk.get(path).text
    assert "Чап · Нашри 7" in shown
    assert "Рост · Нашри 8" in shown
    assert "Нашри 8 бар зидди нашри 7: 1 ба 0" in desk.get(reverse("compare")).text
    assert not Parcel.objects.exists()


@pytest.mark.parametrize("choice", ["", "middle", "LEFT"])
def test_what_is_no_choice_is_refused_and_nothing_is_chosen(teacher, choice):
    comparison = begun(teacher)
    comparison_write(comparison=comparison, left=done("а", 1), right=done("б", 2))
    with pytest.raises(ComparisonRefused):
        comparison_choose(comparison=comparison, choice=choice)
    assert Comparison.objects.get().choice == ""


def test_a_choice_is_final_and_needs_answers(desk, teacher):
    comparison = begun(teacher)
    assert desk.post(reverse("comparison-choose", args=[comparison.pk]), {"choice": "left"}).status_code == 409
    comparison_write(comparison=comparison, left=done("а", 1), right=done("б", 2))
    comparison_choose(comparison=comparison, choice="left")
    assert desk.post(reverse("comparison-choose", args=[comparison.pk]), {"choice": "right"}).status_code == 409
    assert Comparison.objects.get().choice == "left"


def test_of_two_writings_the_first_stays(teacher):
    comparison = begun(teacher)
    comparison_write(comparison=comparison, left=done("а", 1), right=done("б", 2))
    comparison_write(comparison=comparison, left=done("в", 1), right=done("г", 2))
    assert (comparison.left_text, comparison.right_text) == ("а", "б")


def test_a_colleagues_comparison_is_not_there(desk, teacher, django_user_model):
    other = django_user_model.objects.create_user("gulnora")
    comparison = begun(other)
    for name in ("comparison", "comparison-write", "comparison-choose"):
        method = desk.get if name == "comparison" else desk.post
        assert method(reverse(name, args=[comparison.pk])).status_code == 404


def test_an_empty_question_is_not_compared(desk):
    assert "Савол аз 1 то 4000 аломат" in desk.post(reverse("compare"), {"question": "  "}).text
    assert not Comparison.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_both_answers_are_written_by_the_engine(root, teacher, engine):
    release_lay(root)
    comparison = begun(teacher)
    shown = write(teacher, comparison)
    comparison.refresh_from_db()
    assert (comparison.is_written, comparison.left_version) == (True, 3)
    assert sorted(comparison.left_text.replace(" ", "")) == sorted(comparison.right_text.replace(" ", ""))
    assert comparison.left_text in shown
    assert len(engine.requests) == 2
    write(teacher, comparison)
    assert len(engine.requests) == 2


@pytest.mark.django_db(transaction=True)
def test_an_engine_that_fails_leaves_a_comparison_to_try_again(root, teacher, engine):
    release_lay(root)
    engine.failure_code = "answer_failed"
    comparison = begun(teacher)
    assert "Аз нав кӯшиш кардан" in write(teacher, comparison)
    comparison.refresh_from_db()
    assert (comparison.is_written, comparison.left_text) == (False, "")


def write(teacher, comparison):
    browser = AsyncClient()
    browser.force_login(teacher)

    async def ask():
        answered = await browser.post(reverse("comparison-write", args=[comparison.pk]), headers={"hx-request": "true"})
        return answered.content.decode()

    return asyncio.run(ask())


def test_a_tally_counts_by_pair_and_leaves_two_samples_of_one_release_out():
    (tally,) = tallies_count(
        [(2, 3, "right"), (3, 2, "left"), (2, 3, "left"), (2, 3, "same"), (3, 2, "neither"), (3, 3, "left")]
    )
    assert (tally.newer, tally.older) == (3, 2)
    assert (tally.for_newer, tally.for_older, tally.undecided) == (2, 1, 2)

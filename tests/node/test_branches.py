"""Which way through a conversation is shown, whatever was edited and whatever the clock did."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from node.chat.branches import Stem, way_through

START = datetime(2026, 11, 26, 9, tzinfo=UTC)


def stems(*rows):
    """Return stems from (id, parent) in the order of their asking."""
    return [Stem(row[0], row[1], START + timedelta(minutes=number)) for number, row in enumerate(rows)]


def shown(way):
    return [(step.id, f"{step.place}/{len(step.versions)}") for step in way]


def test_without_edits_the_way_is_the_whole_conversation():
    assert shown(way_through(stems(("a", None), ("b", "a"), ("c", "b")))) == [("a", "1/1"), ("b", "1/1"), ("c", "1/1")]


def test_an_edited_question_begins_a_way_of_its_own_and_the_old_one_stays_reachable():
    edited = stems(("a", None), ("b", "a"), ("c", "b"), ("B", "a"))
    assert shown(way_through(edited)) == [("a", "1/1"), ("B", "2/2")]
    assert shown(way_through(edited, over="b")) == [("a", "1/1"), ("b", "1/2"), ("c", "1/1")]
    step = way_through(edited)[-1]
    assert (step.earlier, step.later) == ("b", None)
    step = way_through(edited, over="b")[1]
    assert (step.earlier, step.later) == (None, "B")


def test_the_newest_turn_below_a_version_is_shown_even_on_its_older_branch():
    grown = stems(("a", None), ("b", "a"), ("B", "a"), ("c", "b"))
    assert [step.id for step in way_through(grown)] == ["a", "b", "c"]
    assert [step.id for step in way_through(grown, over="a")] == ["a", "b", "c"]


def test_a_clock_that_was_set_back_cuts_no_way_short():
    late = [
        Stem("a", None, START),
        Stem("b", "a", START - timedelta(days=9)),
        Stem("c", "b", START - timedelta(days=8)),
    ]
    assert [step.id for step in way_through(late)] == ["a", "b", "c"]


def test_a_conversation_without_turns_and_one_whose_parent_is_gone_are_shown_as_what_is_left():
    assert way_through([]) == []
    assert shown(way_through(stems(("b", "gone"), ("c", "b")), over="gone")) == [("b", "1/1"), ("c", "1/1")]


@st.composite
def trees(draw):
    parents = [
        draw(st.none() | st.integers(0, number - 1)) if number else None for number in range(draw(st.integers(1, 30)))
    ]
    minutes = draw(st.lists(st.integers(0, 20), min_size=len(parents), max_size=len(parents)))
    return [
        Stem(number, parent, START + timedelta(minutes=minute))
        for number, (parent, minute) in enumerate(zip(parents, minutes, strict=True))
    ]


@given(trees(), st.data())
def test_every_turn_is_on_the_way_over_it_which_starts_at_the_beginning_and_ends_at_an_end(tree, data):
    over = data.draw(st.sampled_from([None, *(stem.id for stem in tree)]))
    parents = {stem.id: stem.parent for stem in tree}

    way = way_through(tree, over=over)

    ids = [step.id for step in way]
    assert over is None or over in ids
    assert [parents[each] for each in ids] == [None, *ids[:-1]]
    assert ids[-1] not in parents.values()
    for step in way:
        assert sorted(step.versions) == sorted(each for each in parents if parents[each] == parents[step.id])

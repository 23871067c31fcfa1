"""The queue before the engine."""

from hypothesis import given
from hypothesis import strategies as st

from node.chat.fair_queue import FairQueue


def filled(clients):
    queue = FairQueue()
    for number, client in enumerate(clients):
        queue.push(client, (client, number))
    return queue


def test_no_client_goes_twice_before_another_that_waits():
    queue = filled("aaab")
    assert [queue.pop()[0] for _ in range(len(queue))] == ["a", "b", "a", "a"]


def test_one_who_comes_again_at_once_waits_behind_the_others():
    queue = filled("ab")
    assert queue.pop()[0] == "a"
    queue.push("a", ("a", 9))
    assert [queue.pop()[0] for _ in range(2)] == ["b", "a"]


def test_one_who_leaves_is_not_served_and_cannot_leave_twice():
    queue = filled("ab")
    assert queue.remove(("a", 0))
    assert not queue.remove(("a", 0))
    assert queue.in_order() == [("b", 1)]


@given(st.text("abc", max_size=12))
def test_the_order_that_is_told_is_the_order_that_is_kept(clients):
    queue = filled(clients)
    told = queue.in_order()
    assert [queue.pop() for _ in range(len(queue))] == told

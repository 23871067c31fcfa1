"""Which of two check-ins is newer, whatever any clock says."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.courier.newness import is_newer
from central.feedback.clones import epoch_hear, epochs_heard
from central.feedback.models import CloneAlarm
from central.schools.invitations import school_invite
from central.schools.models import Node
from central.schools.services import node_touch
from tests.central.school import SimulatedSchool, check_in_of

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
CHECK_IN = replace(check_in_of(SimulatedSchool(None, "")), epoch="e1", number=5)


@pytest.mark.parametrize(("number", "newer"), [(4, False), (5, False), (6, True)])
def test_within_an_epoch_the_higher_number_is_newer(number, newer):
    checkin = replace(CHECK_IN, number=number)
    assert is_newer(checkin, last_epoch="e1", last_number=5, past_epochs=["e0"]) is newer


def test_a_new_epoch_is_newer_and_one_that_is_over_is_not():
    first = replace(CHECK_IN, number=1)
    assert is_newer(replace(first, epoch="e2"), last_epoch="e1", last_number=5, past_epochs=["e0"])
    assert not is_newer(replace(first, epoch="e0", number=99), last_epoch="e1", last_number=5, past_epochs=["e0"])
    assert is_newer(first, last_epoch="", last_number=0, past_epochs=[])


@pytest.mark.django_db
@given(st.permutations([("e1", 1), ("e1", 2), ("e2", 1), ("e2", 2)]))
def test_a_node_that_sticks_bring_in_any_order_never_goes_back(order):
    node = school_invite(name="Мактаби №1", region="", actor="t", now=NOW).node
    heard = []
    for epoch, number in order:
        checkin = replace(CHECK_IN, node_id=str(node.pk), epoch=epoch, number=number)
        past = epochs_heard(node=node)
        if is_newer(checkin, last_epoch=node.epoch, last_number=node.checkin_number, past_epochs=past):
            epoch_hear(node=node, epoch=epoch, now=NOW)
            node_touch(node=node, checkin=checkin, now=NOW)
            node = Node.objects.select_related("school").get(pk=node.pk)
            heard.append((epoch, number))
    assert not CloneAlarm.objects.exists()
    for epoch in ("e1", "e2"):
        numbers = [number for each, number in heard if each == epoch]
        assert numbers == sorted(set(numbers))
    epochs = [epoch for epoch, _number in heard]
    assert len([1 for one, two in pairwise(epochs) if one != two]) <= 1

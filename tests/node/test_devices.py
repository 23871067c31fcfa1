"""A guest who drops the cookie is still the same device: one turn before the engine, and so many waiting questions."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse

from node.address import device_address
from node.chat.engine_events import EngineOp, EngineRequest, EventKind
from node.chat.errors import DeviceCrowded
from node.chat.models import Answer, Conversation
from node.chat.pitch import Lesson
from node.chat.scheduler import Scheduler
from node.chat.services import (
    MAX_WAITING_OF_DEVICE,
    Asker,
    Where,
    answer_begin,
    answer_fail,
    answers_abandon,
    question_ask,
)
from tests.node.conftest import NOW


def guest(number, address="10.0.0.7"):
    return Asker(person_id=None, session_key=f"cookie-{number}", address=address)


def ask(asker, minutes=0):
    when = NOW + timedelta(minutes=minutes)
    return question_ask(asker=asker, where=Where(), question="Савол?", lesson=Lesson(), now=when)


@pytest.mark.django_db
def test_new_cookies_bring_no_further_questions_and_another_device_is_not_kept_from_asking():
    turns = [ask(guest(number)) for number in range(MAX_WAITING_OF_DEVICE)]
    with pytest.raises(DeviceCrowded):
        ask(guest("new"))
    assert Answer.objects.count() == MAX_WAITING_OF_DEVICE
    ask(guest("new", address="10.0.0.8"))
    ask(Asker(person_id=User.objects.create_user("dilshod").pk, session_key="", address="10.0.0.7"))
    # When one has ended there is room for one, and what nobody came to read counts for ten minutes.
    answer_begin(answer=turns[0].answer)
    answer_fail(answer=turns[0].answer, code="x", now=NOW)
    ask(guest("new"))
    with pytest.raises(DeviceCrowded):
        ask(guest("newer"))
    ask(guest("newer"), minutes=11)


@pytest.mark.django_db
def test_the_address_is_kept_nowhere_and_its_digest_only_while_the_question_waits():
    turn = ask(guest(1))
    device = Answer.objects.get().device
    assert (device, "10.0.0.7" in device) == (guest(2).device, False)
    answer_begin(answer=turn.answer)
    answer_fail(answer=turn.answer, code="x", now=NOW)
    assert Answer.objects.get().device == ""
    ask(guest(1))
    answers_abandon(now=NOW)
    assert not Answer.objects.exclude(device="").exists()


def test_guests_of_one_device_share_a_turn_and_people_have_their_own():
    assert guest(1).client == guest(2).client != guest(1, address="10.0.0.8").client
    person = Asker(person_id=4, session_key="", address="10.0.0.7")
    assert (person.client, person.device, person.most_waiting) == ("person-4", "", 0)
    # Where no address is known the browser counts, as before.
    assert guest(1, address="").client == "guest-cookie-1"


class Idle:
    """An engine that is never asked, because nobody works."""

    served = None


def test_no_more_of_a_device_wait_before_the_engine_and_the_rest_hear_so_at_once():
    scheduler = Scheduler(serving=Idle(), stopping=threading.Event())

    def submit(client, most_waiting):
        return scheduler.submit(EngineRequest(op=EngineOp.GENERATE, client=client, most_waiting=most_waiting))

    waiting = [submit("device-a", 2) for _ in range(2)]
    crowded = submit("device-a", 2).events.get(timeout=1)
    assert (crowded.kind, crowded.code) == (EventKind.ERROR, "device_crowded")
    assert all(ticket.events.empty() for ticket in waiting)
    submit("device-b", 2)
    for _ in range(3):
        submit("person-1", 0)
    assert scheduler.load().waiting == 6


@pytest.mark.parametrize(
    ("proxies", "header", "address"),
    [
        (0, "1.2.3.4", "127.0.0.1"),
        (1, "1.2.3.4", "1.2.3.4"),
        (1, "9.9.9.9, 1.2.3.4", "1.2.3.4"),
        (2, "9.9.9.9, 1.2.3.4, 10.0.0.1", "1.2.3.4"),
        (2, "1.2.3.4", "127.0.0.1"),
        (1, "", "127.0.0.1"),
    ],
)
def test_a_proxys_word_counts_only_as_far_as_the_settings_trust_it(settings, proxies, header, address):
    settings.NODE_PROXIES = proxies
    assert device_address(RequestFactory().get("/", headers={"X-Forwarded-For": header})) == address


@pytest.mark.django_db
def test_on_the_page_the_device_is_told_in_a_plain_sentence(root):
    for _ in range(MAX_WAITING_OF_DEVICE):
        assert Client().post(reverse("ask"), {"question": "Савол?"}).status_code == 302
    refused = Client().post(reverse("ask"), {"question": "Савол?"}, headers={"HX-Request": "true"})
    assert (refused.status_code, "Аз ин дастгоҳ" in refused.text) == (429, True)
    # A header that anybody can write makes no new device.
    forged = Client().post(reverse("ask"), {"question": "Савол?"}, headers={"X-Forwarded-For": "10.1.1.1"})
    assert forged.status_code == 429
    assert Conversation.objects.count() == MAX_WAITING_OF_DEVICE


@pytest.mark.django_db
def test_a_new_chat_is_in_the_list_beside_it_with_its_first_question(root, client):
    first = client.post(reverse("ask"), {"question": "Осмон чаро кабуд аст?"}, headers={"HX-Request": "true"})
    conversation = Conversation.objects.get()
    assert '<div id="recent" hx-swap-oob="true">' in first.text
    assert reverse("conversation", args=[conversation.pk]) in first.text.partition('id="recent"')[2]
    again = client.post(
        reverse("ask"), {"question": "Боз?", "conversation": conversation.pk}, headers={"HX-Request": "true"}
    )
    assert 'id="recent"' not in again.text

"""What a bored or clever pupil may send to the chat: refused in words, nothing lost, nothing of others shown."""

import asyncio
import json
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from node.asgi import application
from node.body_limit import MAX_BODY_BYTES
from node.chat.errors import HistoryRefused
from node.chat.models import Answer, Conversation, Turn
from node.chat.questions import MAX_HISTORY_TURNS, history_read
from node.installed.state import Phase, Slots, slots_write
from tests.node.conftest import RELEASE

pytestmark = pytest.mark.django_db
PART = {"hx-request": "true"}
MEGABYTE = 1024 * 1024
HOSTILE = "</textarea><script>alert(1)</script>{{ 7|add:7 }}\"'><img src=x onerror=alert(1)>"


@pytest.fixture
def page(client, root):
    slots_write(root, Slots(current=RELEASE, phase=Phase.COMMITTED))
    return client


@pytest.fixture
def talk(page):
    """A conversation of a guest's browser, with an answer."""
    page.post("/ask/", {"question": "Сири ман"})
    Answer.objects.update(status="finished", text="Ҷавоби ман", release=RELEASE, release_version=1)
    return Conversation.objects.get()


def rows():
    tables = [list(model.objects.order_by("pk").values()) for model in (Conversation, Turn, Answer)]
    return json.dumps(tables, default=str)


@pytest.mark.parametrize(
    ("size_bytes", "status", "words"),
    [
        (MEGABYTE // 2, 422, "аз 1 то 4000 аломат"),
        (MEGABYTE + 1, 400, "аз ҳад зиёд"),
        (9 * MEGABYTE, 400, "аз ҳад зиёд"),
    ],
)
def test_a_prompt_of_a_megabyte_is_refused_in_words_at_both_doors(page, size_bytes, status, words):
    question = "a" * size_bytes
    for path in ("/ask/", "/passing/answer/"):
        refused = page.post(path, {"question": question}, headers=PART)
        assert (refused.status_code, words in refused.text) == (status, True)
        assert len(refused.content) < 2000
    assert words in page.post("/ask/", {"question": question}).text
    assert not Turn.objects.exists()


@pytest.mark.parametrize(
    "history",
    [
        "x",
        "{}",
        "[1]",
        '[{"question": "а"}]',
        '[{"question": 1, "answer": "б"}]',
        '[{"question": "\\ud800", "answer": "б"}]',
        json.dumps([{"question": "а" * 4001, "answer": "б"}]),
        json.dumps([{"question": "а", "answer": "б" * 100_000}]),
        "[" * 100_000,
    ],
)
def test_a_page_that_sends_no_history_is_told_so(page, history):
    refused = page.post("/passing/answer/", {"question": "а", "history": history}, headers=PART)
    assert refused.status_code == 400
    assert "сӯҳбат нест" in refused.text
    with pytest.raises(HistoryRefused):
        history_read(history)


def test_of_ten_thousand_messages_the_engine_reads_the_last_few():
    said = [{"question": str(number), "answer": "ҷ"} for number in range(10_000)]
    read = history_read(json.dumps(said))
    assert [each.question for each in read] == ["9996", "9997", "9998", "9999"]
    assert len(read) == MAX_HISTORY_TURNS


def test_who_asks_thousands_at_once_is_held_up_and_nobody_else(page):
    answers = [page.post("/ask/", {"question": str(number)}, headers=PART).status_code for number in range(50)]
    assert answers == [200] * 3 + [429] * 47
    assert Turn.objects.count() == 3
    assert "саволи шумо ҷавобро интизоранд" in page.post("/ask/", {"question": "ман"}, headers=PART).text
    assert Client().post("/ask/", {"question": "ман"}, headers=PART).status_code == 200


def test_a_conversation_of_ten_thousand_turns_opens_and_is_answered(page, talk):
    first = Turn.objects.get()
    turns, parent = [], first
    for number in range(10_000):
        asked_at = first.asked_at + timedelta(seconds=number + 1)
        parent = Turn(conversation=talk, parent=parent, question=f"Саволи {number}", asked_at=asked_at)
        turns.append(parent)
    Turn.objects.bulk_create(turns)
    Answer.objects.bulk_create(
        Answer(turn=turn, status="finished", text="**ҷавоб**", release=RELEASE, release_version=1) for turn in turns
    )
    began = time.process_time()
    shown = page.get(f"/c/{talk.pk}/")
    assert "Саволи 9999" in shown.text
    assert "Саволи 9900" not in shown.text
    assert len(shown.content) < 200_000
    assert page.post("/ask/", {"question": "боз", "conversation": talk.pk}, headers=PART).status_code == 200
    assert "Сири ман" in page.get("/history/", {"q": "савол"}).text
    # Here a second; what looks at each turn once for each other takes minutes.
    assert time.process_time() - began < 20


@pytest.mark.parametrize("key", ["none", "x" * 32, "../../etc/passwd", "%D0%B0" * 9, "guest", ""])
def test_a_forged_cookie_opens_nothing_and_names_nobody(page, talk, key):
    Conversation.objects.create(session_key=key, started_at=timezone.now())
    before = rows()
    forgers = [Client(), Client()]
    for forger in forgers:
        forger.cookies["sessionid"] = key
        assert "Сири ман" not in forger.get("/").text
        assert forger.get(f"/c/{talk.pk}/").status_code == 404
    assert rows() == before
    for number, forger in enumerate(forgers):
        assert forger.post("/ask/", {"question": f"Саволи {number}"}, headers=PART).status_code == 200
    kept = {turn.conversation.session_key for turn in Turn.objects.exclude(conversation=talk)}
    assert len(kept) == 2
    assert all(Session.objects.filter(session_key=each).exists() for each in kept)
    assert "Саволи 1" not in forgers[0].get("/history/").text


def test_a_session_that_has_ended_opens_nothing(page, talk):
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert page.get(f"/c/{talk.pk}/").status_code == 404
    assert "Сири ман" not in page.get("/history/").text


def strangers(teacher):
    pupil = User.objects.create_user("pupil")
    browsers = [Client(), Client(), Client()]
    browsers[1].force_login(pupil)
    browsers[2].force_login(teacher)
    return browsers


def test_another_ones_chat_is_refused_at_every_door_and_stays_as_it_was(page, talk, teacher):
    turn = Turn.objects.get()
    before = rows()
    for stranger in strangers(teacher):
        for name, key in (
            ("conversation", talk.pk),
            ("answer-stream", turn.answer.pk),
        ):
            refused = stranger.get(reverse(name, args=[key]))
            assert (refused.status_code, "Сири ман" in refused.text, "Ҷавоби ман" in refused.text) == (
                404,
                False,
                False,
            )
        for name, key in (
            ("answer-stop", turn.answer.pk),
            ("answer-again", turn.answer.pk),
            ("conversation-rename", talk.pk),
            ("conversation-delete", talk.pk),
        ):
            assert stranger.post(reverse(name, args=[key]), {"title": "х"}).status_code == 404
        for field in ("after", "instead"):
            asked = {"question": "х", "conversation": talk.pk, field: turn.pk}
            refused = stranger.post("/ask/", asked, headers=PART)
            assert refused.status_code == 404
            assert "аз они каси дигар" in refused.text
        assert "Сири ман" not in stranger.get("/history/", {"q": "сири"}).text
    assert rows() == before


@pytest.mark.parametrize("where", ["conversation", "after", "instead"])
@pytest.mark.parametrize("key", ["x", "1; DROP TABLE chat_turn", "0" * 32, "а" * 10_000])
def test_an_address_that_is_none_is_refused_and_nothing_is_asked(page, talk, where, key):
    before = rows()
    fields = {"question": "х", "conversation": talk.pk} | {where: key}
    refused = page.post("/ask/", fields, headers=PART)
    assert refused.status_code == 404
    assert "Сӯҳбати нав оғоз кунед" in refused.text
    assert rows() == before


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"turn": "x"}, 404),
        ({"turn": "0" * 32}, 200),
        ({"end": "-1"}, 200),
        ({"end": "9" * 5000}, 200),
        ({"end": "²"}, 200),
    ],
)
def test_a_bent_address_of_ones_own_chat_breaks_nothing(page, talk, query, status):
    shown = page.get(f"/c/{talk.pk}/", query)
    assert shown.status_code == status
    assert ("Сири ман" in shown.text) is (status == 200)


def test_hostile_words_are_words_wherever_they_are_shown(page):
    shown = [page.post("/ask/", {"question": HOSTILE}, headers=PART)]
    talk = Conversation.objects.get()
    Answer.objects.update(status="finished", text=HOSTILE, release=RELEASE, release_version=1)
    page.post(reverse("conversation-rename", args=[talk.pk]), {"title": HOSTILE[:80]})
    shown += [page.get(f"/c/{talk.pk}/"), page.get("/history/", {"q": HOSTILE}), page.get("/")]
    for answer in shown:
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert "14" not in answer.text.replace("&quot;", "").partition("alert(1)")[2][:40]
    assert "&lt;script&gt;alert(1)" in shown[1].text


def test_a_form_of_another_page_is_refused_at_every_door(page, talk):
    Turn.objects.get()
    forged = Client(enforce_csrf_checks=True)
    forged.cookies = page.cookies
    before = rows()
    for name, arguments in (
        ("ask", []),
        ("passing-answer", []),
        ("lesson", []),
        ("answer-again", [Answer.objects.get().pk]),
        ("conversation-delete", [talk.pk]),
    ):
        refused = forged.post(reverse(name, args=arguments), {"question": "х"}, headers=PART)
        assert refused.status_code == 403
        assert "<html" not in refused.text
    assert rows() == before


def test_a_question_with_every_kind_of_letter_is_kept_as_it_is(page):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL refuses the letter NUL; a school's PC has SQLite")
    question = "а\x00б\u202eв\ufeff😀" + "\u0301" * 500
    assert page.post("/ask/", {"question": question}, headers=PART).status_code == 200
    assert Turn.objects.get().question == question
    assert page.get("/history/").status_code == 200


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_body_without_an_end_is_cut_off_before_it_fills_the_disk(root, is_declared):
    read, sent = [], []

    async def receive():
        read.append(len(read))
        assert len(read) < 100
        return {"type": "http.request", "body": b"x" * MAX_BODY_BYTES, "more_body": True}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/ask/",
        "query_string": b"",
        "headers": [(b"content-length", b"%d" % 10**12)] if is_declared else [],
    }
    asyncio.run(application(scope, receive, send))
    assert sent[0]["status"] == 413
    assert "аз ҳад зиёд" in sent[1]["body"].decode()
    assert len(read) <= 2
    assert not Turn.objects.exists()

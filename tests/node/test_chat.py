"""Conversations: edited, answered anew, found, renamed and deleted; streams that wait for an engine or a disk."""

import asyncio
import threading
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.test import AsyncClient, Client
from django.urls import reverse

from node.chat.engine_events import EngineOp
from node.chat.errors import ConversationMissing, StoreFull, TitleRefused, TooManyWaiting, room_expected
from node.chat.models import Answer, Conversation, Turn
from node.chat.pitch import Lesson
from node.chat.questions import MAX_HISTORY_TURNS, request_make
from node.chat.search import search_pattern
from node.chat.services import (
    MAX_WAITING,
    Asker,
    Where,
    conversation_delete,
    conversation_rename,
    question_ask,
    question_repeat,
)
from node.chat.shown import TURNS_AT_ONCE, conversation_show
from node.ratings.models import Rating
from node.ratings.services import Opinion, rating_record
from node.root import engine_socket_path
from tests.node.conftest import NOW, RELEASE
from tests.node.engine_simulator import ANSWER, EngineSimulator, release_lay

pytestmark = pytest.mark.django_db
GUEST = Asker(person_id=None, session_key="a-guest")
ANEW, PLAIN = Where(), Lesson()
PART = {"hx-request": "true"}


def ask(question, *, where=ANEW, asker=GUEST, lesson=PLAIN, minutes=0, answer="ҷавоб"):
    """Ask, and let the engine have answered."""
    turn = question_ask(
        asker=asker, where=where, question=question, lesson=lesson, now=NOW + timedelta(minutes=minutes)
    )
    if answer:
        Answer.objects.filter(turn=turn).update(status="finished", text=answer, release=RELEASE, release_version=1)
    return Turn.objects.get(pk=turn.pk)


def after(turn):
    return Where(conversation_id=turn.conversation_id, after=turn.pk)


def instead(turn):
    return Where(conversation_id=turn.conversation_id, instead=turn.pk)


def asked(turn):
    """Return what the engine would be asked for `turn`."""
    turn.refresh_from_db()
    return request_make(turn=turn, client="c", generation="g")


def texts(turn):
    return [message.text for message in asked(turn).messages]


def test_the_engine_reads_the_branch_that_was_asked_on_and_no_other():
    first = ask("а", answer="1")
    second = ask("б", where=after(first), minutes=1, answer="2")
    edited = ask("Б", where=instead(second), minutes=2, answer="3")
    assert edited.parent_id == second.parent_id == first.pk
    assert texts(ask("в", where=after(second), minutes=3)) == ["а", "1", "б", "2", "в"]
    assert texts(ask("г", where=after(edited), minutes=4)) == ["а", "1", "Б", "3", "г"]
    # A page that does not say where goes on from what was asked last.
    last = ask("д", where=Where(conversation_id=first.conversation_id), minutes=5)
    assert texts(last)[-3:] == ["г", "ҷавоб", "д"]


def test_the_engine_reads_so_many_finished_turns_and_passes_over_the_others():
    turn = ask("0")
    for number in range(1, 8):
        turn = ask(str(number), where=after(turn), minutes=number)
    Answer.objects.filter(turn__question="6").update(status="failed", text="")
    assert texts(turn)[::2] == ["2", "3", "4", "5", "7"]
    assert len(texts(turn)) == 2 * MAX_HISTORY_TURNS + 1


def test_the_first_answer_is_the_likeliest_and_another_one_is_drawn():
    turn = ask("а")
    assert asked(turn).temperature == 0
    other = question_repeat(asker=GUEST, answer=turn.answer, now=NOW + timedelta(minutes=1))
    assert (other.question, other.parent_id, other.conversation_id) == ("а", None, turn.conversation_id)
    again = [asked(other), asked(question_repeat(asker=GUEST, answer=turn.answer, now=NOW + timedelta(minutes=2)))]
    assert all(request.temperature > 0 for request in again)
    assert again[0].seed != again[1].seed
    assert asked(other) == again[0]
    turn.refresh_from_db()
    assert turn.answer.text == "ҷавоб"


def test_a_question_asked_anew_keeps_the_lesson_of_the_first():
    turn = ask("а", lesson=Lesson(grade=6, subject="physics", is_hinted=True))
    other = question_repeat(asker=GUEST, answer=turn.answer, now=NOW)
    assert (other.grade, other.subject, other.is_hinted) == (6, "physics", True)
    assert asked(other).messages[0] == asked(turn).messages[0]


def test_an_answer_that_failed_is_tried_again_in_its_place():
    turn = ask("а", answer="")
    Answer.objects.filter(turn=turn).update(status="failed", error_code="engine_unavailable")
    assert question_repeat(asker=GUEST, answer=turn.answer, now=NOW) == turn
    turn.answer.refresh_from_db()
    assert (turn.answer.status, turn.answer.error_code) == ("waiting", "")
    assert Turn.objects.count() == 1


def test_one_pupil_has_so_many_questions_waiting_and_others_are_not_kept_from_asking():
    for number in range(MAX_WAITING):
        ask(str(number), answer="", minutes=number)
    with pytest.raises(TooManyWaiting):
        ask("one more", answer="", minutes=3)
    assert Turn.objects.count() == MAX_WAITING
    ask("mine", asker=Asker(person_id=None, session_key="another"), answer="", minutes=3)
    # Nobody came to read the first of them.
    ask("one more", answer="", minutes=11)


@pytest.mark.parametrize("where", ["after", "instead"])
def test_a_turn_of_another_conversation_is_nowhere_to_ask(where):
    mine, other = ask("а"), ask("б", asker=Asker(person_id=None, session_key="another"))
    for place in (
        Where(conversation_id=mine.conversation_id, **{where: other.pk}),
        Where(conversation_id=other.conversation_id, **{where: other.pk}),
    ):
        with pytest.raises(ConversationMissing):
            ask("в", where=place)
    assert Turn.objects.count() == 2


def test_a_long_conversation_is_shown_a_screenful_at_a_time_and_none_is_out_of_reach(django_assert_max_num_queries):
    turn = ask("0")
    for number in range(1, 100):
        turn = ask(str(number), where=after(turn), minutes=number)
    with django_assert_max_num_queries(4):
        shown = conversation_show(turn.conversation)
    seen = []
    while True:
        assert len(shown.turns) <= TURNS_AT_ONCE
        assert shown.last_id == turn.pk
        seen = [int(each.turn.question) for each in shown.turns] + seen
        if not shown.earlier_end:
            break
        shown = conversation_show(turn.conversation, end=shown.earlier_end)
    assert seen == list(range(100))
    assert conversation_show(turn.conversation, end=40).later_end == 80


@pytest.mark.parametrize(
    ("sought", "is_found"),
    [
        ("ҚУВВА", True),
        ("кувва", True),
        ("чисми", True),
        (" Нютон ", True),
        ("дарси физика", True),
        (".*", False),
        ("(", False),
        ("сир", False),
    ],
)
def test_a_conversation_is_found_by_its_title_and_words_with_or_without_tajik_letters(client, sought, is_found):
    client.post("/ask/", {"question": "Қувваи ҷисми сахт"})
    conversation_rename(conversation=Conversation.objects.get(), title="Дарси  физика ")
    Answer.objects.update(text="Исаак Нютон навиштааст", status="stopped")
    ask("Сири каси дигар: Нютон")
    shown = client.get(reverse("history"), {"q": sought}).text
    assert ("Дарси физика" in shown) is is_found
    assert "каси дигар" not in shown
    assert ("Ҳеҷ чиз ёфт нашуд" in shown) is not is_found


def test_the_pattern_of_a_search_is_nobodys_regular_expression():
    assert search_pattern("к(а*)+") == r"[кқ]\(а\*\)\+"
    assert search_pattern("  ") == ""
    assert len(search_pattern("а" * 10_000)) == 100


def test_a_title_replaces_the_first_question_in_every_list(client):
    client.post("/ask/", {"question": "Чаро осмон кабуд аст?"})
    conversation = Conversation.objects.get()
    assert "Чаро осмон" in client.get("/history/").text
    assert client.post(reverse("conversation-rename", args=[conversation.pk]), {"title": "Осмон"}).status_code == 302
    assert "Осмон" in client.get("/history/").text
    assert "Чаро осмон" not in client.get("/history/").text
    for title in (" ", "а" * 81):
        with pytest.raises(TitleRefused):
            conversation_rename(conversation=conversation, title=title)
    assert Conversation.objects.get().title == "Осмон"


def test_a_deleted_conversation_leaves_no_word(client):
    client.post("/ask/", {"question": "Рози ман"})
    conversation = Conversation.objects.get()
    client.post("/ask/", {"question": "Рози дигар", "conversation": str(conversation.pk)})
    assert Turn.objects.count() == 2
    assert client.post(reverse("conversation-delete", args=[conversation.pk])).url == "/history/"
    assert not Conversation.objects.exists()
    assert not Turn.objects.exists()
    assert not Answer.objects.exists()


def test_what_a_teacher_has_rated_outlives_the_conversation_without_the_pupils_words(teacher, root):
    pupil = User.objects.create_user("pupil")
    asker = Asker(person_id=pupil.pk, session_key="")
    rated = ask("Саволи баҳодор", asker=asker, answer="Ҷавоби баҳодор")
    ask("Саволи дигар", where=after(rated), asker=asker, minutes=1)
    rating_record(answer=rated.answer, teacher=teacher, opinion=Opinion(stars=2), now=NOW, root=root)

    conversation_delete(conversation=rated.conversation)

    assert not Conversation.objects.of(person_id=pupil.pk, session_key="").exists()
    assert [(turn.pk, turn.question) for turn in Turn.objects.all()] == [(rated.pk, "")]
    kept = Answer.objects.get()
    assert (kept.text, kept.release, kept.status) == ("", "", "stopped")
    assert (Rating.objects.get().question, Rating.objects.get().answer_id) == ("Саволи баҳодор", kept.pk)


def test_the_row_that_a_rating_keeps_waits_for_no_other_teacher(client, teacher, root):
    turn = ask("Саволи баҳодор")
    rating_record(answer=turn.answer, teacher=teacher, opinion=Opinion(stars=2), now=NOW, root=root)
    conversation_delete(conversation=turn.conversation)
    other = User.objects.create_user("other")
    other.groups.add(*teacher.groups.all())
    client.force_login(other)
    assert "Release" not in client.get(reverse("queue")).text
    assert client.get(reverse("rate", args=[turn.answer.pk])).status_code == 404


def test_an_old_conversation_without_parents_is_one_way_after_the_migration():
    """What 0003 does to rows that a node wrote before turns knew what they follow."""
    from importlib import import_module  # noqa: PLC0415 - a migration's name is no name

    from django.apps import apps  # noqa: PLC0415

    conversations = [Conversation.objects.create(session_key="g", started_at=NOW) for _each in range(2)]
    turns = [
        Turn.objects.create(
            conversation=conversations[number % 2], question="?", asked_at=NOW + timedelta(hours=number)
        )
        for number in range(6)
    ]
    import_module("node.chat.migrations.0003_turn_parent").parents_name(apps, None)
    parents = dict(Turn.objects.values_list("pk", "parent_id"))
    assert [parents[turn.pk] for turn in turns] == [None, None, *(turn.pk for turn in turns[:4])]


@pytest.fixture
def engine(root):
    release_lay(root)
    simulator = EngineSimulator(engine_socket_path(root))
    simulator.start()
    yield simulator
    simulator.stop()


class Browser:
    """A guest's browser that reads streams as they come."""

    def __init__(self):
        self.client = AsyncClient()

    def post(self, path, fields):
        return asyncio.run(self._post(path, fields))

    async def _post(self, path, fields):
        response = await self.client.post(path, fields, headers=PART)
        return response.status_code, await _whole(response)

    def get(self, path):
        return asyncio.run(self._get(path))

    async def _get(self, path):
        return await _whole(await self.client.get(path))

    def read(self, answer):
        return self.get(reverse("answer-stream", args=[answer.pk]))


async def _whole(response):
    if not response.streaming:
        return response.text
    return b"".join([piece async for piece in response.streaming_content]).decode()


def pieces(stream):
    """Return what the `piece` events of `stream` spell."""
    events = [event.split("\n") for event in stream.split("\n\n")]
    words = [[line.removeprefix("data: ") for line in event[1:]] for event in events if event[0] == "event: piece"]
    return unescape("".join("\n".join(lines) for lines in words))


@pytest.fixture
def browser():
    return Browser()


@pytest.mark.django_db(transaction=True)
def test_an_engine_that_starts_again_answers_what_was_asked_meanwhile(browser, root, settings):
    settings.NODE_ENGINE_WAIT_SECONDS = 60
    release_lay(root)
    browser.post("/ask/", {"question": "Салом"})
    answer = Answer.objects.get()
    simulator = EngineSimulator(engine_socket_path(root))
    late = threading.Timer(1.2, simulator.start)
    late.start()
    try:
        stream = browser.read(answer)
    finally:
        late.join()
        simulator.stop()
    assert "Саволи шумо интизор аст" in stream
    assert pieces(stream) == ANSWER
    answer.refresh_from_db()
    assert (answer.status, answer.text) == ("finished", ANSWER)


@pytest.mark.django_db(transaction=True)
def test_an_engine_that_dies_in_mid_answer_leaves_what_it_wrote(browser, engine):
    browser.post("/ask/", {"question": "Салом"})
    answer = Answer.objects.get()
    engine.dies_after = 3
    stream = browser.read(answer)
    answer.refresh_from_db()
    assert (answer.status, answer.text) == ("stopped", "Пойтахти Тоҷикистон шаҳри ")
    assert "Ҷавоби дигар" in stream
    assert [request.op for request in engine.requests] == [EngineOp.GENERATE]


@pytest.mark.django_db(transaction=True)
def test_a_passing_answer_that_breaks_off_is_shown_as_far_as_it_came(browser, engine):
    engine.dies_after = 2
    status, stream = browser.post("/passing/answer/", {"question": "Салом"})
    assert (status, pieces(stream)) == (200, "Пойтахти Тоҷикистон ")
    assert "<p>Пойтахти Тоҷикистон</p>" in stream.replace("\ndata: ", "")
    assert "Қатъ шуд" in stream


@pytest.mark.django_db(transaction=True)
def test_a_chat_that_is_not_stored_leaves_no_row(browser, engine):
    history = '[{"question": "а", "answer": "б"}]'
    status, stream = browser.post("/passing/answer/", {"question": "<b>в", "history": history})
    assert (status, pieces(stream)) == (200, ANSWER)
    assert [message.text for message in engine.requests[-1].messages] == ["а", "б", "<b>в"]
    assert "Ҷавоби дигар" not in stream
    assert not Conversation.objects.exists()
    assert not Turn.objects.exists()
    assert not Answer.objects.exists()


@room_expected()
def conversations_write():
    while True:
        Conversation.objects.create(session_key="filler", title="т" * 80, started_at=NOW)


@pytest.fixture
def full_disk():
    """Return what fills the disk: from then on SQLite finds room for nothing more."""
    if connection.vendor != "sqlite":
        pytest.skip("a school's PC has SQLite")

    def fill():
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA page_count")
            pages = cursor.fetchone()[0]
            cursor.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreFull):
            conversations_write()

    yield fill
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA max_page_count = 1073741823")


@pytest.mark.django_db(transaction=True)
def test_a_full_disk_is_said_and_what_was_kept_stays(client, root, full_disk):
    client.post("/ask/", {"question": "Аввал"})
    turn = Turn.objects.get()
    full_disk()
    refused = client.post("/ask/", {"question": "б" * 4000}, headers=PART)
    assert refused.status_code == 507
    assert "Диски ин компютер пур аст" in refused.text
    assert "Диски ин компютер пур аст" in Client().post("/ask/", {"question": "б" * 4000}).text
    assert list(Turn.objects.all()) == [turn]
    assert "Аввал" in client.get(f"/c/{turn.conversation_id}/").text


@pytest.mark.django_db(transaction=True)
def test_an_answer_that_the_disk_has_no_room_for_is_read_all_the_same(browser, engine, full_disk):
    browser.post("/ask/", {"question": "Аввал"})
    full_disk()
    engine.words = ("Ҷавоби дароз. ",) * 2000
    stream = browser.read(Answer.objects.get())
    assert pieces(stream).startswith("Ҷавоби дароз. Ҷавоби дароз. ")
    assert "ҷавобро ҳоло хондан мумкин аст" in stream
    assert Answer.objects.get().text == ""
    status, stream = browser.post("/passing/answer/", {"question": "Дуюм"})
    assert (status, "диск" in stream.lower()) == (200, False)


def test_another_error_of_the_database_is_not_taken_for_a_full_disk():
    with pytest.raises(DatabaseError), room_expected(), transaction.atomic():
        connection.cursor().execute("SELECT * FROM no_such_table")

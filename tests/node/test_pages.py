"""What people see: the chat page with and without a model, the teacher's way from answer to correction."""

import asyncio
import threading

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils import timezone

from federation.wire.contributions import LIST_NAME, Part, list_write
from node.chat.engine_server import EngineServer
from node.chat.markup import answer_html
from node.chat.models import Answer, Conversation
from node.installed.models import InstallRecord
from node.installed.state import Phase, Slots, slots_write
from node.outbox.models import Parcel
from node.ratings.models import Rating
from node.ratings.services import Opinion, rating_record
from node.root import engine_socket_path
from node.rounds.models import LocalUpdate, Plan
from node.rounds.services import updates_find_shipped
from tests.node.conftest import NOW, RELEASE, answer_make

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client, root):
    slots_write(root, Slots(current=RELEASE, phase=Phase.COMMITTED))
    return client


@pytest.fixture
def desk(page, teacher):
    page.force_login(teacher)
    return page


def test_a_school_without_a_model_gets_a_page_that_says_so(client, root):
    answer = client.get("/")
    assert answer.status_code == 200
    assert "Ҳанӯз модел насб нашудааст" in answer.text
    assert 'id="question"' not in answer.text


def test_the_page_loads_nothing_from_the_internet_and_forbids_it(page):
    answer = page.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "unsafe" not in policy
    assert "http://" not in answer.text.replace("http://www.w3.org", "")
    assert "https://" not in answer.text
    for path in ("/static/node/soro.css", "/static/node/soro.js", "/static/django_htmx/htmx-2.min.js"):
        assert path in answer.text
        asset = page.get(path)
        assert asset.status_code == 200
        asset.close()


@pytest.mark.parametrize(
    ("language", "word"), [(None, "Савол диҳед"), ("ru", "Задайте вопрос"), ("en", "Ask a question")]
)
def test_the_language_is_the_one_that_was_chosen(page, language, word):
    if language:
        page.post(reverse("set_language"), {"language": language, "next": "/"})
    assert word in page.get("/", headers={"accept-language": "ru"}).text


def test_a_question_is_kept_and_shown_to_no_other_browser(page):
    shown = page.post("/ask/", {"question": " Чаро осмон кабуд аст? "}, headers={"hx-request": "true"})
    conversation = Conversation.objects.get()
    assert "Чаро осмон кабуд аст?" in shown.text
    assert f"/answers/{conversation.turns.get().answer.pk}/stream/" in shown.text
    assert page.get(f"/c/{conversation.pk}/").status_code == 200
    stranger = Client()
    assert stranger.get(f"/c/{conversation.pk}/").status_code == 404
    assert "кабуд" not in stranger.get("/").text


@pytest.mark.parametrize("question", ["", "   ", "а" * 4001])
def test_an_empty_or_endless_question_is_refused_in_words(page, question):
    refused = page.post("/ask/", {"question": question}, headers={"hx-request": "true"})
    assert refused.status_code == 422
    assert "аз 1 то 4000 аломат" in refused.text
    assert "<html" not in refused.text
    assert not Answer.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_page_without_an_engine_says_so_and_does_not_wait_for_ever(root, settings):
    settings.NODE_ENGINE_WAIT_SECONDS = 0.6
    answer = answer_make(status="waiting", release="", text="", finished_at=None)
    shown = stream_read(answer)
    assert shown.count("Саволи шумо интизор аст") == 1
    assert "Муҳаррик оғоз ёфта истодааст. Лутфан" in shown
    answer.refresh_from_db()
    assert (answer.status, answer.error_code) == ("failed", "engine_unavailable")
    assert "Муҳаррик оғоз ёфта истодааст" in stream_read(answer)


@pytest.mark.django_db(transaction=True)
def test_an_engine_without_a_release_is_not_taken_for_a_broken_one(root):
    answer = answer_make(status="waiting", release="", text="", finished_at=None)
    stopping = threading.Event()
    server = EngineServer(root=root, socket_path=engine_socket_path(root), clock=timezone.now, stopping=stopping)
    thread = threading.Thread(target=server.serve)
    thread.start()
    while not engine_socket_path(root).exists():
        stopping.wait(0.01)
    try:
        assert "Ҳанӯз модел насб нашудааст" in stream_read(answer)
    finally:
        stopping.set()
        thread.join()
    assert not engine_socket_path(root).exists()


def stream_read(answer):
    browser = AsyncClient()
    browser.cookies["sessionid"] = guest_session(answer)

    async def read():
        response = await browser.get(f"/answers/{answer.pk}/stream/")
        assert response.headers["Content-Type"] == "text/event-stream"
        return b"".join([piece async for piece in response.streaming_content]).decode()

    return asyncio.run(read())


def guest_session(answer):
    session = SessionStore()
    session.create()
    Conversation.objects.filter(pk=answer.turn.conversation_id).update(session_key=session.session_key)
    return session.session_key


def test_neither_a_pupil_nor_a_guest_can_rate(page, answer):
    assert page.get(reverse("rate", args=[answer.pk])).status_code == 302
    pupil = User.objects.create_user("pupil")
    pupil.groups.add(Group.objects.get_or_create(name="pupil")[0])
    page.force_login(pupil)
    for name, arguments in (("queue", []), ("rate", [answer.pk]), ("corrections", []), ("status", [])):
        refused = page.get(reverse(name, args=arguments))
        assert refused.status_code == 403
        assert "омӯзгорон" in refused.text


def test_only_what_the_teacher_was_shown_leaves_the_school(desk, answer):
    filled = {
        "stars": "2",
        "reasons": ["wrong"],
        "correction": "Душанбе. Ба ali@mail.tj нависед.",
        "subject": "geography",
        "grade": "6",
    }
    shown = desk.post(reverse("rate", args=[answer.pk]), {**filled, "step": "preview"}).text
    assert "Душанбе. Ба <mark>[почтаи электронӣ]</mark> нависед." in shown
    assert not Rating.objects.exists()
    sent = desk.post(reverse("rate", args=[answer.pk]), {**filled, "step": "send"})
    assert sent.status_code == 302
    body = Parcel.objects.get().body
    assert body["correction"] == "Душанбе. Ба [почтаи электронӣ] нависед."
    assert (body["stars"], body["reasons"], body["grade"]) == (2, ["wrong"], 6)
    assert answer.turn.question not in desk.get(reverse("queue")).text


def test_the_correction_starts_from_the_models_text(desk, answer):
    assert f">\n{answer.text}</textarea>" in desk.get(reverse("rate", args=[answer.pk])).text


def test_a_rating_without_stars_is_not_kept(desk, answer):
    shown = desk.post(reverse("rate", args=[answer.pk]), {"step": "send", "correction": "x"})
    assert "Лутфан, баҳоро интихоб кунед" in shown.text
    assert not Rating.objects.exists()


@pytest.mark.parametrize(
    ("is_sent", "update", "contributions", "words"),
    [
        (False, None, (), "Алоқаи навбатиро"),
        (True, None, (), "Ба марказ расид."),
        (True, "ready", (), "Ин компютер аз он омӯхт"),
        (True, "accepted", (), "Он дар давраи омӯзиш аст"),
        (True, "accepted", ("a" * 64,), "Дар нашри 2 ба мактабҳо расид"),
        (True, "refused", ("a" * 64,), "Ба марказ расид."),
        (True, "accepted", ("e" * 64,), "Он дар давраи омӯзиш аст"),
    ],
)
def test_a_teacher_reads_the_stage_that_the_correction_has(
    desk, answer, teacher, root, is_sent, update, contributions, words
):
    rating = rating_record(
        answer=answer, teacher=teacher, opinion=Opinion(stars=1, correction="Душанбе."), now=NOW, root=root
    )
    Parcel.objects.update(is_acknowledged=is_sent)
    if update:
        plan = Plan.objects.create(
            plan_id="p", base="b" * 64, envelope=b"", issued_at=NOW, closes_at=NOW, received_at=NOW
        )
        LocalUpdate.objects.create(
            plan=plan, counter=1, status=update, record_ids=[rating.record_id], sha256="a" * 64, started_at=NOW
        )
    parts = [Part(version=version, updates=contributions) for version in (2, 3)]
    (root / "releases" / "d").mkdir(parents=True)
    (root / "releases" / "d" / LIST_NAME).write_bytes(list_write(parts))
    updates_find_shipped(root=root)
    assert words in desk.get(reverse("corrections")).text


def test_the_status_page_opens_on_a_node_that_is_nothing_yet(desk, root):
    (root / "state.json").unlink()
    shown = desk.get(reverse("status")).text
    assert "Ҳанӯз ба қайд гирифта нашудааст" in shown
    assert "Ҳанӯз модел насб нашудааст" in shown


def test_the_status_page_says_in_a_sentence_why_the_newest_release_is_not_used(desk):
    InstallRecord.objects.create(release="e" * 64, sequence=1, status="committed", at=NOW)
    assert "истифода намешавад" not in desk.get(reverse("status")).text
    InstallRecord.objects.create(release="f" * 64, sequence=2, status="skipped", error_code="memory_too_small", at=NOW)
    shown = desk.get(reverse("status")).text
    assert "Модели нав аз хотираи ин компютер бештар хотира мехоҳад" in shown
    assert "(memory_too_small)" in shown
    InstallRecord.objects.filter(sequence=2).update(error_code="chunk_of_the_future")
    assert "chunk_of_the_future" in desk.get(reverse("status")).text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("**Душанбе**", "<p><strong>Душанбе</strong></p>\n"),
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"),
        ("Нархаш 5$ ё 6$ аст", "<p>Нархаш 5$ ё 6$ аст</p>\n"),
        ("`$x$`", "<p><code>$x$</code></p>\n"),
        (r"$\frac{$", r"<p><code>$\frac{$</code></p>" + "\n"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
    ],
)
def test_an_answer_becomes_the_html_that_it_says_and_no_other(text, wanted):
    assert str(answer_html(text)) == wanted


def test_a_formula_becomes_mathml():
    shown = str(answer_html("Ҷавоб: $x^2$ ва\n\n$$\\frac{1}{2}$$"))
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in shown
    assert '<math alttext="1/2" xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in shown
    assert "$" not in shown

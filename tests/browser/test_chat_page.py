"""The pupils' chat in a real browser: on a telephone and at a desk, by keyboard, judged by axe-core, and offline."""

import contextlib
import os
import re
import sqlite3
import time
from uuid import UUID

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import Visit, steered_page
from tests.node.engine_simulator import ANSWER, WORDS

pytestmark = pytest.mark.slow
# A machine that does much else beside is slow, and not wrong.
expect.set_options(timeout=30_000)
SHOTS = os.environ.get("SORO_SCREENSHOTS", "")
WIDTHS = (360, 1280)
COMPLETE = ".answer:not(.writing) .text"
LESSON = (
    "**Формулаи квадратӣ** чунин аст:\n\n",
    "$$x=\\frac{-b+\\sqrt{b^2-4ac}}{2a}$$\n\n",
    "| Дискриминант | Решаҳо |\n|---|---|\n| $D>0$ | ду |\n| $D=0$ | як |\n\n",
    "1. Аввал $D$-ро ҳисоб кунед.\n2. Баъд решаҳоро ёбед.",
)


@pytest.fixture(scope="module")
def school(tmp_path_factory):
    """A page without an engine process: one that a test steers answers in its place."""
    root = tmp_path_factory.mktemp("chat")
    with steered_page(root) as (engine, address, _commands):
        yield engine, address, root


@pytest.fixture
def engine(school):
    """The engine, as it is before each test."""
    school[0].words, school[0].place = WORDS, 0
    yield school[0]
    school[0].may_go_on.set()


@pytest.fixture
def visit(chromium, school, engine):
    """Return how to open a tab of a guest of its own at a width."""

    def at(width):
        return Visit(chromium, school[1], width=width)

    return at


def ask(page, question):
    page.fill("#question", question)
    page.keyboard.press("Enter")


def grave(page):
    """Return what axe-core finds, but for the smallest things."""
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    return [
        (rule["id"], [node["html"][:120] for node in rule["nodes"]][:3])
        for rule in found.response["violations"]
        if rule["impact"] != "minor"
    ]


def shoot(page, name):
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


@pytest.mark.parametrize("width", WIDTHS)
def test_an_answer_is_written_word_by_word_and_then_laid_out(visit, engine, width):
    engine.words = LESSON
    engine.may_go_on.clear()
    seen = visit(width)
    page = seen.open("/")
    shoot(page, f"chat-empty-{width}")
    ask(page, "Муодилаи квадратиро чӣ тавр ҳал мекунанд?")

    # The first paragraph is complete, the rest not yet begun.
    expect(page.locator(".answer.writing .laid strong")).to_have_text("Формулаи квадратӣ")
    expect(page.locator("#question")).to_have_value("")
    shoot(page, f"chat-writing-{width}")
    engine.may_go_on.set()
    expect(page.locator(".answer strong")).to_have_text("Формулаи квадратӣ")
    expect(page.locator(".answer table td")).to_have_count(4)
    expect(page.locator(".answer math").first).to_have_attribute("alttext", "x=(−b+√(b^2−4ac))/(2a)")
    expect(page.locator("#told")).to_have_text("Ҷавоб пурра омад.")
    shoot(page, f"chat-answered-{width}")
    assert grave(page) == []
    assert seen.overflow_pixels <= 0
    assert (seen.asked_elsewhere, seen.complaints) == ([], [])
    # What is kept looks the same when the page is loaded again.
    assert page.reload(wait_until="networkidle").ok
    expect(page.locator(".answer strong")).to_have_text("Формулаи квадратӣ")


def test_stop_keeps_what_was_written(visit, engine):
    engine.may_go_on.clear()
    page = visit(360).open("/")
    ask(page, "Пойтахт кадом аст?")
    expect(page.locator(".answer.writing .stream")).to_have_text("Пойтахти")

    page.click("text=Қатъ")

    expect(page.locator(".answer:not(.writing) .text")).to_have_text("Пойтахти")
    expect(page.locator(".answer .faint").first).to_have_text("Қатъ шуд")


def test_a_question_is_edited_and_answered_anew_and_every_version_stays(visit, engine):
    page = visit(360).open("/")
    ask(page, "Саволи аввал")
    expect(page.locator(COMPLETE)).to_have_text(ANSWER)
    ask(page, "Саволи дуюм")
    expect(page.locator(".turn")).to_have_count(2)
    expect(page.locator(COMPLETE)).to_have_count(2)

    page.locator(".turn").first.locator(".edit summary").click()
    page.fill(".turn >> nth=0 >> .edit textarea", "Саволи дигар")
    page.click(".turn >> nth=0 >> .edit button")
    expect(page.locator(".turn")).to_have_count(1)
    expect(page.locator(".question")).to_contain_text("Саволи дигар")
    expect(page.locator(".versions nav span")).to_have_text("2/2")
    expect(page.locator(COMPLETE)).to_have_text(ANSWER)

    page.click("text=Ҷавоби дигар")
    expect(page.locator(".versions nav span")).to_have_text("3/3")
    expect(page.locator(COMPLETE)).to_have_count(1)
    expect(page.locator(COMPLETE)).not_to_have_text(ANSWER)
    assert engine.requests[-1].temperature > 0
    shoot(page, "chat-versions-360")

    page.click("[aria-label='Варианти пештара']")
    page.click("[aria-label='Варианти пештара']")
    expect(page.locator(".versions nav span")).to_have_text("1/3")
    expect(page.locator(".question")).to_contain_text(["Саволи аввал", "Саволи дуюм"])
    # A further question goes on from the version that is shown.
    ask(page, "Саволи сеюм")
    expect(page.locator(COMPLETE)).to_have_count(3)
    assert [m.text for m in engine.requests[-1].messages if m.role == "user"] == [
        "Саволи аввал",
        "Саволи дуюм",
        "Саволи сеюм",
    ]


def test_the_whole_chat_works_by_keyboard_alone(visit, engine):
    page = visit(1280).open("/")
    expect(page.locator("#question")).to_be_focused()
    for _letter in "ҷҳӯқ":
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("[data-letter=қ]")).to_be_focused()
    while page.evaluate("document.activeElement.id") != "question":
        page.keyboard.press("Tab")
    page.keyboard.type("адом шаҳр?")
    engine.may_go_on.clear()
    page.keyboard.press("Enter")
    expect(page.locator(".question")).to_contain_text("Қадом шаҳр?")
    expect(page.locator(".stream")).not_to_be_empty()
    while page.evaluate("document.activeElement.textContent") != "Қатъ":
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(COMPLETE)).to_have_count(1)
    # The button that had the focus is gone; the focus is where one writes on.
    expect(page.locator("#question")).to_be_focused()


def test_the_place_in_the_queue_is_seen_and_said(visit, engine):
    engine.place = 4
    engine.words = ("",)
    engine.may_go_on.clear()
    page = visit(360).open("/")
    ask(page, "Салом")

    for place in (".place", "#told"):
        expect(page.locator(place)).to_contain_text("5")
    shoot(page, "chat-queue-360")
    engine.may_go_on.set()


def test_an_answer_is_copied_as_it_was_written(visit, engine):
    engine.words = LESSON
    seen = visit(1280)
    seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=seen.address)
    page = seen.open("/")
    ask(page, "Формула?")
    page.click("[data-copy]")

    expect(page.locator("[data-copy]")).to_have_text("Нусха гирифта шуд")
    assert page.evaluate("navigator.clipboard.readText()") == "".join(LESSON)
    # As at http://10.0.0.5, where browsers have no such clipboard.
    page.evaluate("Object.defineProperty(window, 'isSecureContext', {value: false})")
    page.evaluate("navigator.clipboard.writeText('')")
    page.click("[data-copy]")
    assert page.evaluate("navigator.clipboard.readText()") == "".join(LESSON)


def test_a_browser_that_draws_no_mathml_gets_formulas_spelt_out(visit, engine):
    engine.words = LESSON
    seen = visit(360)
    seen.page.add_init_script("Element.prototype.getBoundingClientRect = () => ({ width: 0, height: 0 })")
    page = seen.open("/")
    ask(page, "Формула?")

    expect(page.locator("div.formula")).to_have_text("x=(−b+√(b^2−4ac))/(2a)")
    expect(page.locator("math")).to_have_count(0)


@pytest.mark.parametrize("width", WIDTHS)
def test_lesson_and_history_are_chosen_found_renamed_and_deleted(visit, engine, width):
    seen = visit(width)
    page = seen.open("/")
    page.click(".lesson summary")
    page.select_option("#id_grade", "6")
    page.select_option("#id_subject", "physics")
    page.check("[name=is_hinted]")
    shoot(page, f"chat-lesson-{width}")
    assert grave(page) == []
    page.click(".lesson button")
    expect(page.locator(".lesson summary")).to_have_text("Синфи 6 Физика Танҳо роҳнамоӣ")
    ask(page, "Қувва чист?")
    expect(page.locator(COMPLETE)).to_have_count(1)
    system = engine.requests[-1].messages[0]
    assert (system.role, "синфи 6" in system.text, "роҳнамоӣ" in system.text) == ("system", True, True)

    page.goto(f"{seen.address}/history/?q=кувва", wait_until="networkidle")
    expect(page.locator(".past li")).to_have_count(1)
    shoot(page, f"chat-history-{width}")
    assert grave(page) == []
    page.click(".past a")
    page.click(".tools > summary")
    page.fill(".tools [name=title]", "Дарси физика")
    shoot(page, f"chat-tools-{width}")
    assert grave(page) == []
    page.click("text=Иваз кардани ном >> nth=-1")
    expect(page.locator(".tools > summary")).to_contain_text("Дарси физика")
    page.click(".tools > summary")
    page.click("text=Нест кардани ин сӯҳбат")
    page.click("text=Тамоман нест кардан")
    page.wait_for_url("**/history/")
    expect(page.locator(".past li")).to_have_count(0)
    assert seen.overflow_pixels <= 0
    assert (seen.asked_elsewhere, seen.complaints) == ([], [])


@pytest.mark.parametrize("width", WIDTHS)
def test_a_chat_that_is_not_stored_is_nowhere_on_the_disk(visit, engine, school, width):
    seen = visit(width)
    page = seen.open("/")
    ask(page, "Саволи ошкоро")
    expect(page.locator(COMPLETE)).to_have_count(1)
    seen.open("/passing/")
    ask(page, "Рози ниҳонии аввал")
    expect(page.locator(COMPLETE)).to_have_text(ANSWER)
    ask(page, "Рози ниҳонии дуюм")
    expect(page.locator(COMPLETE)).to_have_count(2)
    shoot(page, f"chat-passing-{width}")

    assert [message.text for message in engine.requests[-1].messages] == [
        "Рози ниҳонии аввал",
        ANSWER,
        "Рози ниҳонии дуюм",
    ]
    kept = b"".join(path.read_bytes() for path in school[2].rglob("*") if path.is_file())
    assert "ошкоро".encode() in kept
    assert "ниҳонии".encode() not in kept
    assert grave(page) == []
    assert seen.overflow_pixels <= 0
    assert (seen.asked_elsewhere, seen.complaints) == ([], [])
    page.reload()
    expect(page.locator(".turn")).to_have_count(0)


def test_whoever_leaves_before_the_first_word_leaves_no_answer_that_nobody_writes(school, engine):
    _engine, address, root = school
    with httpx.Client(base_url=address, timeout=30) as browser:
        browser.get("/sign-in/")
        fields = {"question": "Салом", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        turn = browser.post("/ask/", data=fields, headers={"HX-Request": "true"}).text
        stream = re.search(r'data-stream="(/answers/([0-9a-f-]{36})/stream/)"', turn)
        with contextlib.closing(sqlite3.connect(root / "node.sqlite3", isolation_level=None)) as store:
            # Who writes to the store now waits, and so does the claim of the answer that this reader comes for.
            store.execute("BEGIN IMMEDIATE")
            with browser.stream("GET", stream[1]) as response:
                assert response.status_code == 200
            store.execute("ROLLBACK")
            until = time.monotonic() + 30
            while (status := status_of(store, stream[2])) in ("waiting", "writing"):
                assert time.monotonic() < until, status
                time.sleep(0.1)
        assert "event: done" in browser.get(stream[1]).text
    assert status == "stopped"


def status_of(store, answer_id):
    return store.execute("SELECT status FROM chat_answer WHERE id = ?", [UUID(answer_id).hex]).fetchone()[0]


def test_hostile_words_run_nothing_in_the_browser(visit, engine):
    hostile = "<script>document.title='бад'</script><img src=x onerror=\"document.title='бад'\">"
    engine.words = (hostile, "\n\n", "[ин ҷо](javascript:document.title='бад')\n\n", f"`{hostile}` ${hostile}$")
    seen = visit(360)
    page = seen.open("/")
    ask(page, hostile)
    expect(page.locator(COMPLETE)).to_have_count(1)
    page.reload(wait_until="networkidle")
    seen.open("/history/")

    expect(page.locator(".past li")).to_contain_text("<script>")
    page.go_back(wait_until="networkidle")
    assert page.locator("#turns script, #turns img, #turns a[href^=javascript]").count() == 0
    assert "бад" not in page.title().replace(hostile, "")[:10]
    assert (seen.asked_elsewhere, seen.complaints) == ([], [])


def test_a_chat_that_is_not_stored_can_be_stopped_and_goes_on(visit, engine):
    engine.may_go_on.clear()
    engine.reader_left.clear()
    page = visit(360).open("/passing/")
    ask(page, "Аввал")
    expect(page.locator(".stream")).to_have_text("Пойтахти")
    page.click(".stop")

    assert engine.reader_left.wait(5)
    engine.may_go_on.set()
    ask(page, "Дуюм")
    expect(page.locator(COMPLETE)).to_have_text(ANSWER)


def test_a_browser_too_old_for_htmx_asks_and_edits_by_plain_forms(visit, engine):
    seen = visit(360)
    seen.page.route("**/htmx*", lambda route: route.abort())
    page = seen.open("/")
    ask(page, "Саволи аввал")
    expect(page.locator(COMPLETE)).to_have_text(ANSWER)
    page.click(".turn .edit summary")
    page.fill(".turn .edit textarea", "Саволи дигар")
    page.click(".turn .edit button")
    expect(page.locator(".versions nav span")).to_have_text("2/2")
    expect(page.locator(COMPLETE)).to_have_text(ANSWER)
    ask(page, "Саволи дуюм")
    expect(page.locator(".question")).to_contain_text(["Саволи дигар", "Саволи дуюм"])
    expect(page.locator(COMPLETE)).to_have_count(2)


def test_what_was_written_is_not_lost_when_the_pc_is_away_or_refuses(visit, engine):
    seen = visit(360)
    page = seen.open("/")
    page.context.set_offline(True)
    ask(page, "Пойтахт?")
    expect(page.locator("#problem")).to_contain_text("Саволи шумо ҳанӯз ин ҷост")
    expect(page.locator("#question")).to_have_value("Пойтахт?")
    shoot(page, "chat-away-360")
    page.context.set_offline(False)
    page.evaluate("document.getElementById('question').removeAttribute('maxlength')")
    ask(page, "а" * 5000)
    expect(page.locator("#problem")).to_contain_text("дар ин савол 5000 аломат ҳаст")
    assert page.input_value("#question") == "а" * 5000
    ask(page, "Пойтахт?")
    expect(page.locator("#problem")).to_be_empty()
    expect(page.locator(COMPLETE)).to_have_text(ANSWER)


def test_the_app_keeps_its_shell_and_no_words_and_says_when_the_pc_is_away(visit, engine):
    page = visit(360).open("/")
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    ask(page, "Ҳарфи махфӣ")
    expect(page.locator(COMPLETE)).to_have_count(1)
    page.reload(wait_until="networkidle")

    kept = page.evaluate(
        "caches.keys().then(names => Promise.all(names.map(name => caches.open(name)"
        ".then(c => c.keys())))).then(lists => lists.flat().map(r => new URL(r.url).pathname))"
    )
    assert sorted(kept) == ["/offline/", "/static/node/soro.css", "/static/node/soro.js", "/static/node/soro.svg"]
    page.context.set_offline(True)
    page.goto(page.url)
    expect(page.locator("section[lang=tg] h1")).to_have_text("Компютери мактаб ҷавоб намедиҳад")
    expect(page.locator("section[lang=en] h1")).to_have_text("The school's PC does not answer")
    shoot(page, "chat-offline-360")
    page.context.set_offline(False)
    page.click("section[lang=tg] a")
    expect(page.locator("#question")).to_be_visible()


def test_the_manifest_is_one_that_a_browser_installs(visit, engine):
    seen = visit(360)
    page = seen.open("/")
    client = page.context.new_cdp_session(page)
    found = client.send("Page.getAppManifest")
    assert found["errors"] == []
    assert client.send("Page.getInstallabilityErrors")["installabilityErrors"] in (
        [],
        [{"errorId": "in-incognito", "errorArguments": []}],
    )
    manifest = page.request.get(found["url"]).json()
    assert manifest["lang"] == "tg"
    for icon in manifest["icons"]:
        assert page.request.get(seen.address + icon["src"]).ok

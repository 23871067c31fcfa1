"""A teacher adds a book in real fonts, a pupil asks and opens the citation; telephone and desk, axe looks on."""

import io
import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from tests.browser.conftest import Visit, steered_page
from tests.node.textbook_files import lessons_read, lines_of
from tests.services import service_missing

pytestmark = pytest.mark.slow
expect.set_options(timeout=60_000)
SHOTS = os.environ.get("SORO_SCREENSHOTS", "")
WIDTHS = (360, 1280)
FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
WORDS = ("Растанӣ ", "аз ", "об ", "ва ", "гази ", "карбон ", "бо ", "нури ", "Офтоб ", "қанд ", "месозад ", "[1].")


@pytest.fixture(scope="module")
def school(tmp_path_factory):
    """A page whose answers a test steers, and its commands."""
    with steered_page(tmp_path_factory.mktemp("books")) as (engine, address, commands):
        engine.words = WORDS
        yield engine, address, commands


def book_draw(title):
    """Return a PDF of all lessons of one book, in an embedded font, one lesson a page."""
    if not FONT.exists():
        service_missing("DejaVu Sans", "fonts-dejavu-core is not installed")
    pdfmetrics.registerFont(TTFont("DejaVu", FONT))
    kept = io.BytesIO()
    canvas = Canvas(kept)
    for number, (heading, text) in enumerate(lessons_read()[0][3], start=1):
        canvas.setFont("DejaVu", 11)
        for place, line in enumerate([title, f"§ {number}. {heading}", *lines_of(text, 70), str(number)]):
            canvas.drawString(50, 800 - 15 * place, line)
        canvas.showPage()
    canvas.save()
    return kept.getvalue()


def looked_at(visit, name):
    if SHOTS:
        visit.page.screenshot(path=f"{SHOTS}/{name}-{visit.page.viewport_size['width']}.png", full_page=True)
    found = Axe().run(visit.page, options={"resultTypes": ["violations"]})
    grave = [
        (rule["id"], [node["html"][:120] for node in rule["nodes"]][:3])
        for rule in found.response["violations"]
        if rule["impact"] != "minor"
    ]
    assert grave == [], name
    assert visit.overflow_pixels <= 0, name
    assert (visit.asked_elsewhere, visit.complaints) == ([], []), name


def teachers_visit(chromium, school, width):
    _engine, address, commands = school
    account = commands.run_json("browser", "account_create", "--username", f"omuzgor-{width}", "--role", "teacher")
    visit = Visit(chromium, address, width=width)
    page = visit.open("/sign-in/")
    page.fill("#id_username", account["username"])
    page.fill("#id_password", account["password"])
    page.click("form.card button[type=submit]")
    page.wait_for_load_state("networkidle")
    return visit


@pytest.mark.parametrize("width", WIDTHS)
def test_a_book_is_added_read_asked_cited_and_taken_away(chromium, school, width):  # noqa: PLR0915 - one journey
    engine, _address, _commands = school
    title = f"Биология {width}"
    teacher = teachers_visit(chromium, school, width)
    page = teacher.open("/textbooks/")
    looked_at(teacher, "textbooks-empty")
    page.fill("#id_title", title)
    page.select_option("#id_subject", "biology")
    page.select_option("#id_grade", "6")
    book = {"name": "biology.pdf", "mimeType": "application/pdf", "buffer": book_draw(title)}
    page.set_input_files("#id_file", book)
    page.click("text=Китобро илова кардан")
    expect(page.locator(".book")).to_contain_text("порчаҳо: 5")
    expect(page.locator(".book")).to_contain_text("саҳифаҳо: 5")
    broken = {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7\n" + f"{width}".encode() * 999}
    page.fill("#id_title", "Вайрон")
    page.set_input_files("#id_file", broken)
    page.click("text=Китобро илова кардан")
    expect(page.locator(".book .note.bad")).to_contain_text("Файл вайрон аст")
    looked_at(teacher, "textbooks")
    page.fill("#id_q", "Растанӣ қандро аз чӣ месозад?")
    page.press("#id_q", "Enter")
    expect(page.locator("ol .light").first).to_have_class("light good")
    looked_at(teacher, "textbooks-found")

    pupil = Visit(chromium, school[1], width=width)
    page = pupil.open("/")
    page.fill("#question", "Растанӣ аз гази карбон чӣ тавр қанд месозад?")
    page.keyboard.press("Enter")
    expect(page.locator(".citations a")).to_have_text(f"[1] {title}, саҳифаи 1")
    assert "\n[1] " in engine.requests[-1].messages[-1].text
    looked_at(pupil, "chat-cited")
    conversation = page.url
    page.locator(".citations a").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/passages/**")
    expect(page.locator(".cited h2")).to_have_text("§ 1. Фотосинтез")
    expect(page.locator(".cited p")).to_contain_text("фотосинтез меноманд")
    expect(page.locator(".beside")).to_contain_text("Реша растаниро")
    looked_at(pupil, "passage")
    page.click("[rel=next]")
    expect(page.locator(".cited h2")).to_have_text("§ 2. Реша")

    page = teacher.open("/textbooks/")
    page.click(f"text={title}")
    looked_at(teacher, "textbook")
    page.click("summary")
    page.click("button.bad")
    expect(page.locator("[role=status]")).to_contain_text("Китоб гирифта шуд")
    page.goto(teacher.address + "/textbooks/")
    page.click("text=Вайрон")
    page.click("summary")
    page.click("button.bad")
    expect(page.locator(".book")).to_have_count(0)
    page = pupil.open(conversation[len(pupil.address) :])
    expect(page.locator(".citations")).to_contain_text("Ин китоб дигар дар ин ҷо нест.")
    looked_at(pupil, "chat-gone")


def test_a_file_that_is_too_big_is_told_before_it_is_sent(chromium, school, tmp_path):
    teacher = teachers_visit(chromium, school, 720)
    page = teacher.open("/textbooks/")
    big = tmp_path / "big.pdf"
    with big.open("wb") as stream:
        stream.truncate(500 * 1024**2)
    page.fill("#id_title", "Калон")
    page.set_input_files("#id_file", str(big))
    expect(page.locator("[data-too-big]")).to_contain_text("64 МБ")
    asked = len(teacher.asked)
    page.click("text=Китобро илова кардан")
    assert len(teacher.asked) == asked
    assert teacher.complaints == []


def test_a_citation_opens_without_scripts(chromium, school):
    _engine, address, commands = school
    book = commands.root / "b.txt"
    book.write_text("§ 1. Вулқон\n\nВулқон кӯҳест, ки аз он гудоза мебарояд.\n", encoding="utf-8")
    commands.run("book", "textbook", "add", str(book), "--title", "География")
    page = chromium.new_context(java_script_enabled=False, viewport={"width": 360, "height": 900}).new_page()
    page.goto(f"{address}/passages/{_last_passage(commands.root)}/")
    assert page.locator(".cited p").inner_text() == "Вулқон кӯҳест, ки аз он гудоза мебарояд."


def _last_passage(root):
    import sqlite3  # noqa: PLC0415 - the node's own database, which no settings of this process name

    with sqlite3.connect(root / "node.sqlite3") as connection:
        number = connection.execute("SELECT max(id) FROM textbooks_passage").fetchone()[0]
    connection.close()
    return number

"""A school's whole day in a real browser, against a node that serves the real stand-in, and no word off the machine.

What `test_chat_page` tries piece by piece with an engine that a test steers is here once as pupils, teachers and the
head have it: the model's own words, in their own time. Every page is looked at on a telephone and at a desk.
"""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from federation.demo.school_page import SchoolPage
from tests.browser.conftest import Visit
from tests.browser.outside_sockets import SocketWatch
from tests.browser.test_chat_page import COMPLETE, ask, shoot
from tests.browser.test_school_pages import grave
from tests.standin_node import standin_node

pytestmark = pytest.mark.slow
WIDTHS = {360: 740, 1280: 900}
# The stand-in writes up to 512 tokens, on a machine that may do much else beside.
WRITTEN = 180_000
TOLD = Path(__file__).parent / "outgoing_told"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
ROLL = "насаб;ном;синф;нақш;номи воридшавӣ\n" + "".join(
    f"{last};{first};7А;;\n" for last, first in (("Каримова", "Ҷамила"), ("Раҳимов", "Далер"), ("Ғафурова", "Мадина"))
)
ROLL += "Шарипова;Мунира;7А;омӯзгор;munira\n"


class Day:
    """The running node, and the people whom the head's table has made."""

    def __init__(self, commands, address):
        self.commands, self.address = commands, address
        self.code, self.pins, self.passwords = "", {}, {}

    def visit(self, chromium, *, width=360):
        visit = Visit(chromium, self.address, width=width)
        visit.page.set_default_timeout(60_000)
        return visit

    def staff(self, chromium, name, *, width=360):
        visit = self.visit(chromium, width=width)
        page = visit.open("/sign-in/")
        page.fill("#id_username", name)
        page.fill("#id_password", self.passwords[name])
        page.click("form.card button[type=submit]")
        expect(page.locator(".person form button")).to_have_count(1)
        return visit


@pytest.fixture(scope="module")
def day(chromium, tmp_path_factory):
    """A node on the stand-in; the head has taken the school's table in."""
    root = tmp_path_factory.mktemp("day")
    notes = root / "sockets.txt"
    notes.touch()
    told = {"PYTHONPATH": str(TOLD), "SORO_TEST_SOCKETS": str(notes)}
    with standin_node(root / "node", environment=told) as (commands, address):
        run = json.loads((root / "node" / "run.json").read_text())
        with SocketWatch(run["pid"]) as sockets:
            day = Day(commands, address)
            made = commands.run_json("day", "account_create", "--username", "mudir", "--role", "head")
            day.passwords["mudir"] = made["password"]
            roll_take(chromium, day)
            yield day
        # The page, the engine and the loop that would sync were looked at, all the day.
        assert set(run["children"].values()) | {run["pid"]} <= sockets.processes
    assert sockets.seen == set()
    lines = notes.read_text().split("\n")
    assert {line.partition(" ")[2] for line in lines if line} <= LOOPBACK
    assert any(line.startswith("socket.bind") for line in lines)


def roll_take(chromium, day):
    head = day.staff(chromium, "mudir", width=1280)
    page = head.open("/accounts/")
    page.set_input_files("[name=roll]", {"name": "roll.csv", "mimeType": "text/csv", "buffer": ROLL.encode()})
    page.click("form:has([name=roll]) button")
    expect(page.locator("table")).to_have_count(2)
    looked_at(head, "accounts-made")
    for name, password in _rows(page, 0):
        day.passwords[name] = password
    for _class, code, name, pin in _rows(page, 1):
        day.code, day.pins[name] = code, pin
    head.page.context.close()


def _rows(page, table):
    rows = page.locator("table").nth(table).locator("tbody tr").all()
    return [[cell.inner_text().strip() for cell in row.locator("td").all()] for row in rows]


def looked_at(visit, name):
    """The page as it is fits both screens, is accessible, has complained of nothing and asked nobody else."""
    before = visit.page.viewport_size
    for width, height in WIDTHS.items():
        visit.page.set_viewport_size({"width": width, "height": height})
        shoot(visit.page, f"day-{name}-{width}")
        assert visit.overflow_pixels <= 0, (name, width)
        assert grave(visit.page) == [], (name, width)
    visit.page.set_viewport_size(before)
    assert (visit.asked_elsewhere, visit.complaints) == ([], []), name


def pupil_enter(chromium, day, name):
    visit = day.visit(chromium)
    page = visit.open("/class/")
    page.fill("#id_code", day.code)
    page.press("#id_code", "Enter")
    page.click(f".tiles label:has-text('{name.partition(' ')[0]}')")
    looked_at(visit, "who")
    page.fill("#id_pin", day.pins[name])
    page.press("#id_pin", "Enter")
    expect(page.locator(".person .name")).to_contain_text(name.partition(" ")[2])
    return visit


def written(page, count=1):
    """Wait until so many answers on the page are complete, and return the last one's words."""
    expect(page.locator(COMPLETE)).to_have_count(count, timeout=WRITTEN)
    return page.locator(COMPLETE).last.inner_text()


def test_a_pupil_asks_stops_asks_anew_edits_and_finds_it_all_again(chromium, day):
    seen = pupil_enter(chromium, day, "Каримова Ҷамила")
    page = seen.page
    looked_at(seen, "chat")
    page.click(".lesson summary")
    page.select_option("#id_grade", "7")
    page.select_option("#id_subject", "geography")
    page.click(".lesson button")
    expect(page.locator(".lesson summary")).to_contain_text("География")

    ask(page, "Кӯҳҳои баландтарини Тоҷикистон кадомҳоянд?")
    expect(page.locator(".answer.writing .stream")).not_to_be_empty(timeout=WRITTEN)
    shoot(page, "day-writing-360")
    first = written(page)
    assert re.search("[ғӣқӯҳҷа-я]", first)
    looked_at(seen, "answered")

    ask(page, "Дарёҳо аз куҷо оғоз меёбанд?")
    expect(page.locator(".answer.writing .stream")).not_to_be_empty(timeout=WRITTEN)
    page.click("text=Қатъ")
    expect(page.locator(".answer .faint >> text=Қатъ шуд")).to_have_count(1)

    page.locator("text=Ҷавоби дигар").first.click()
    expect(page.locator(".versions nav span").first).to_have_text("2/2")
    expect(page.locator(".answer.writing .stream")).not_to_be_empty(timeout=WRITTEN)
    page.click("text=Қатъ")
    written(page)

    page.locator(".edit summary").first.click()
    page.locator(".edit textarea").first.fill("Қуллаи баландтарини Тоҷикистон кадом аст?")
    page.locator(".edit button").first.click()
    expect(page.locator(".versions nav span").first).to_have_text("3/3")
    expect(page.locator(".answer.writing .stream")).not_to_be_empty(timeout=WRITTEN)
    page.click("text=Қатъ")
    written(page)
    looked_at(seen, "versions")
    page.click("[aria-label='Варианти пештара']")
    page.click("[aria-label='Варианти пештара']")
    expect(page.locator(".question").first).to_contain_text("Кӯҳҳои баландтарини")
    expect(page.locator(COMPLETE).first).to_have_text(first)

    seen.open("/history/?q=кухҳои")
    expect(page.locator(".past li")).to_have_count(1)
    looked_at(seen, "history")


def test_a_pupil_is_led_by_hints_and_asks_what_nobody_keeps(chromium, day):
    seen = pupil_enter(chromium, day, "Раҳимов Далер")
    page = seen.page
    page.click(".lesson summary")
    page.check("[name=is_hinted]")
    looked_at(seen, "lesson")
    page.click(".lesson button")
    expect(page.locator(".lesson summary")).to_contain_text("Танҳо роҳнамоӣ")
    ask(page, "Масоҳати росткунҷаи 4 бар 7 чанд аст?")
    written(page)
    looked_at(seen, "hints")

    seen.open("/passing/")
    ask(page, "Рози ниҳонии имрӯза")
    written(page)
    looked_at(seen, "passing")
    kept = b"".join(path.read_bytes() for path in day.commands.root.glob("node.sqlite3*"))
    assert ("росткунҷаи".encode() in kept, "ниҳонии".encode() in kept) == (True, False)


def test_a_teacher_rates_in_one_tap_corrects_masks_holds_back_and_compares(chromium, day):
    with SchoolPage(day.address, step="day", log=day.commands.log) as guest:
        guest.ask("Пойтахти Тоҷикистон кадом шаҳр аст? Муаллима Зарина Каримова пурсид.")
    seen = day.staff(chromium, "munira")
    page = seen.open("/ratings/")
    row = page.locator("li.card:has-text('Пойтахти Тоҷикистон')")
    row.locator("button[value='0']").click()
    expect(row.locator("button[value='0']")).to_have_attribute("aria-pressed", "true")
    looked_at(seen, "queue")

    row.locator(".rating a").first.click()
    page.fill("textarea[name=correction]", "Пойтахти Тоҷикистон шаҳри Душанбе аст.")
    looked_at(seen, "rate")
    page.click("main form button[type=submit]")
    expect(page.locator("#send")).to_be_visible()
    assert "Зарина Каримова" not in page.locator("main section.card").inner_text()
    page.fill("[name=masked_words]", "Муаллима")
    page.click("button[value=preview]")
    expect(page.locator("main section.card")).not_to_contain_text("Муаллима")
    looked_at(seen, "leaves")
    page.click("button[value=keep]")
    seen.open("/ratings/outgoing/")
    expect(page.locator("li.card")).to_have_count(1)
    looked_at(seen, "held")
    page.click("li.card button >> nth=0")
    expect(page.locator("li.card")).to_have_count(0)
    seen.open("/corrections/")
    expect(page.locator("main")).to_contain_text("Душанбе")
    looked_at(seen, "corrections")

    seen.open("/classes/")
    page.click("main a[href$='/topics/']")
    expect(page.locator("h1")).to_contain_text("7А")
    looked_at(seen, "class")

    seen.open("/compare/")
    page.fill("#id_question", "Об дар чанд дараҷа меҷӯшад?")
    page.click("main form button")
    expect(page.locator(".sides .card")).to_have_count(2, timeout=WRITTEN)
    looked_at(seen, "compare")
    page.click("button[value=same]")
    expect(page.locator(".note.good")).to_be_visible()


def test_a_head_sees_the_people_the_pc_and_the_stick(chromium, day):
    seen = day.staff(chromium, "mudir")
    for path, name, words in (
        ("/accounts/", "accounts", "7А"),
        ("/status/", "status", "Stand-in"),
        ("/stick/", "stick", "Флешка"),
    ):
        expect(seen.open(path).locator("main")).to_contain_text(words)
        looked_at(seen, name)

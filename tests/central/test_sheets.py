"""Claim sheets: who gets one, what is on it, and which code counts when one is printed twice."""

import re
import stat
from datetime import timedelta

import pytest
import segno
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone, translation
from hypothesis import given
from hypothesis import strategies as st
from reportlab.pdfbase import pdfmetrics

from central.schools import sheets
from central.schools.errors import SchoolListInvalid
from central.schools.invitations import DrawnCode, sheets_print
from central.schools.models import AuditEvent, ClaimCode, Node, NodeStatus, School
from central.schools.roles import Role
from central.schools.school_list import school_list_read, school_list_take_in
from central.schools.sheets import BOLD, PLAIN, CentrePrint, sheets_draw
from federation.wire.sheet import Sheet, SheetMalformed, sheet_read, sheet_text
from tests.central.regions import account
from tests.central.school import SimulatedSchool
from tests.central.test_identity import Drawer

LIST = """name;region;district;director
Мактаби №1;Хатлон;Кӯлоб;А. Ғафуров
Мактаби №2;Хатлон;Қубодиён;
Мактаби №3;Суғд;Панҷакент;
"""
CENTRE = CentrePrint(address="https://soro.example", root_sha256="ab" * 32, authority_sha256="cd" * 32)


@pytest.fixture
def schools(db, now):
    school_list_take_in(schools=school_list_read(LIST.encode()), actor="test", now=now)
    return School.objects.order_by("name")


def codes_and_nodes():
    return list(ClaimCode.objects.order_by("pk").values("digest", "expires_at")), Node.objects.count()


def test_a_list_of_schools_is_taken_in_once_and_its_changes_later(schools, now):
    assert [(school.region, school.district) for school in schools] == [
        ("Хатлон", "Кӯлоб"),
        ("Хатлон", "Қубодиён"),
        ("Суғд", "Панҷакент"),
    ]
    changed = "district,name\r\nШаҳритӯс,Мактаби №2\r\nВарзоб,Мактаби №4\r\n".encode("utf-8-sig")
    taken = school_list_take_in(schools=school_list_read(changed), actor="test", now=now)
    assert (taken.added, taken.changed, taken.unchanged) == (1, 1, 0)
    assert schools.get(name="Мактаби №2").district == "Шаҳритӯс"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"school\n1\n", 1),
        (b"name\n\xff\n", 1),
        (b"name\nA\n\nB\nA\n", 5),
        ("name,region\n,Хатлон\n".encode(), 2),
        (("name\n" + "я" * 201).encode(), 2),
        (b"name\nA\x00\n", 2),
    ],
)
def test_a_list_with_a_fault_is_refused_by_its_line_and_nothing_of_it_is_taken(client, db, content, line):
    with pytest.raises(SchoolListInvalid) as refusal:
        school_list_read(content)
    assert refusal.value.fields["line"] == line
    client.force_login(get_user_model().objects.create_superuser("admin", password="x"))
    path = "/admin/schools/school/import/"
    assert client.get(path).status_code == 200
    answer = client.post(path, {"file": _upload(content)})
    assert len(list(answer.context["messages"])) == 1
    assert not School.objects.exists()


def test_a_person_imports_a_list_in_the_admin(client, db):
    client.force_login(get_user_model().objects.create_superuser("admin", password="x"))
    answer = client.post("/admin/schools/school/import/", {"file": _upload(LIST.encode())}, follow=True)
    assert answer.redirect_chain
    assert School.objects.count() == 3


def _upload(content):
    from django.core.files.uploadedfile import SimpleUploadedFile  # noqa: PLC0415

    return SimpleUploadedFile("schools.csv", content)


def test_each_school_gets_one_code_that_enrols_its_pc(schools, client, keys, now):
    drawer = Drawer()
    sheets_print(schools=schools, render=drawer, actor="admin", now=timezone.now())
    assert len(set(drawer.codes)) == Node.objects.count() == 3
    answers = [SimulatedSchool(client, code).enrol().json() for code in drawer.codes]
    assert [answer["school"] for answer in answers] == [school.name for school in schools]


def test_a_second_printing_voids_the_first_and_asks_for_no_second_pc(schools, client, keys):
    first, second = Drawer(), Drawer()
    for drawer in (first, second):
        sheets_print(schools=schools, render=drawer, actor="admin", now=timezone.now())
    assert (Node.objects.count(), ClaimCode.objects.count()) == (3, 3)
    assert AuditEvent.objects.filter(new="code_renewed").count() == 3
    old = SimulatedSchool(client, first.codes[0]).enrol()
    assert (old.status_code, old.json()["code"]) == (404, "claim_code_unknown")
    assert SimulatedSchool(client, second.codes[0]).enrol().status_code == 201


def test_a_printing_that_fails_has_voided_nothing(schools):
    sheets_print(schools=schools, render=Drawer(), actor="admin", now=timezone.now())
    before = codes_and_nodes()

    def out_of_paper(_drawn):
        raise OSError("out of paper")

    with pytest.raises(OSError, match="paper"):
        sheets_print(schools=schools, render=out_of_paper, actor="admin", now=timezone.now())
    assert codes_and_nodes() == before


def test_a_region_is_printed_for_the_schools_whose_pc_has_not_come(schools, client, keys, settings, tmp_path):
    settings.PUBLIC_ADDRESS = "https://soro.example"
    here = Drawer()
    sheets_print(schools=schools[:1], render=here, actor="admin", now=timezone.now())
    SimulatedSchool(client, here.codes[0]).enrol()
    out = tmp_path / "khatlon.pdf"
    call_command("claim_sheets", region="Хатлон", out=out)
    assert _pages(out.read_bytes()) == 1
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert Node.objects.filter(status=NodeStatus.INVITED).get().school.name == "Мактаби №2"
    before = codes_and_nodes()
    with pytest.raises(CommandError, match="Бадахшон"):
        call_command("claim_sheets", region="Бадахшон", out=out)
    settings.PUBLIC_ADDRESS = ""
    with pytest.raises(CommandError, match="SORO_CENTRAL_ADDRESS"):
        call_command("claim_sheets", region="Суғд", out=out)
    assert codes_and_nodes() == before


def test_only_who_may_make_codes_prints_them_and_no_cache_keeps_the_sheet(schools, client, keys, settings):
    settings.PUBLIC_ADDRESS = "https://soro.example"
    client.force_login(account("clerk", Role.AUDITOR))
    form = {"action": "print_sheets", "_selected_action": [school.pk for school in schools]}
    assert client.post("/admin/schools/school/", form)["Content-Type"].startswith("text/html")
    assert not ClaimCode.objects.exists()
    client.force_login(account("printer", Role.NATIONAL_ADMIN))
    answer = client.post("/admin/schools/school/", form)
    assert answer["Content-Type"] == "application/pdf"
    assert "no-store" in answer["Cache-Control"]
    assert _pages(answer.content) == 3


def test_a_person_finds_the_schools_whose_pc_has_not_come(schools, client, keys):
    here = Drawer()
    sheets_print(schools=schools[:1], render=here, actor="admin", now=timezone.now())
    SimulatedSchool(client, here.codes[0]).enrol()
    client.force_login(get_user_model().objects.create_superuser("admin", password="x"))
    found = {}
    for choice in ("awaited", "here"):
        page = client.get("/admin/schools/school/", {"pc": choice, "region": "Хатлон"})
        found[choice] = [school.name for school in page.context["cl"].result_list]
    assert found == {"awaited": ["Мактаби №2"], "here": ["Мактаби №1"]}


def _pages(pdf):
    return len(re.findall(rb"/Type /Page\b", pdf))


def test_the_fonts_have_every_letter_that_a_sheet_may_hold():
    sheets._fonts_register()
    said = "ғӣқӯҳҷёўъ" + "ғӣқӯҳҷёўъ".upper() + "№«»—·0123456789"
    for language in sheets.LANGUAGES:
        with translation.override(language):
            said += sheets._both("Claim code") + sheets._both("How to connect the school's PC")
    for name in (PLAIN, BOLD):
        glyphs = pdfmetrics.getFont(name).face.charToGlyph
        assert not {letter for letter in said if ord(letter) not in glyphs}


def test_sheets_speak_tajik_and_russian():
    tajik, russian = sheets._both("Claim code").split(" · ")
    assert tajik != "Claim code" != russian != tajik


def test_what_is_drawn_as_a_square_is_the_sheets_text():
    text = sheet_text(Sheet(code="7KQ2M-9XPAB", root_sha256="ab" * 32, authority_sha256="", address=CENTRE.address))
    for row in segno.make(text, error="m", micro=False).matrix:
        drawn = [0] * len(row)
        for start, length in sheets._runs(row):
            drawn[start : start + length] = [1] * length
        assert drawn == list(row)


def test_a_page_is_drawn_for_each_school_however_long_its_name(now):
    school = School(name="Муассисаи таҳсилоти миёнаи умумӣ " * 5, region="Хатлон & Суғд <1>", district="Ҷ. Румӣ")
    drawn = DrawnCode(school=school, code="7KQ2M-9XPAB", expires_at=now + timedelta(days=30))
    pdf = sheets_draw(drawn=[drawn] * 3, centre=CENTRE)
    assert _pages(pdf) == 3
    assert len(pdf) < 200_000


HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
CODES = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=10, max_size=10)


@given(code=CODES, root=HEX, authority=HEX | st.just(""), port=st.integers(1, 65535), blanks=st.integers(0, 200))
def test_a_sheets_text_is_read_back_with_blanks_anywhere(code, root, authority, port, blanks):
    sheet = Sheet(code=code, root_sha256=root, authority_sha256=authority, address=f"https://soro.example:{port}")
    text = sheet_text(sheet)
    cut = blanks % len(text)
    assert sheet_read(f" {text[:cut]}\n  {text[cut:]}\r\n") == sheet


@pytest.mark.parametrize(
    "text",
    ["", "SORO1", "SORO2.7KQ2M9XPAB." + "a" * 64 + "..https://x", "SORO1.7KQ2M9XPAB." + "a" * 63 + "..https://x",
     "SORO1.7KQ2M9XPAB." + "a" * 64 + "..ftp://x", "SORO1.7KQ2M9XPAB." + "a" * 64 + "..https://x/?q=1",
     "SORO1.7KQ2M9XPAB." + "a" * 64 + ".a.https://x"],
)  # fmt: skip
def test_a_text_that_is_no_whole_sheet_is_refused(text):
    with pytest.raises(SheetMalformed):
        sheet_read(text)

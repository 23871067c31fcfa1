"""What is read out of a file, in a process of its own: text with its pages and headings, or one clear error."""

import subprocess
import sys
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import FederationError
from node.children import program_environment
from node.textbooks.cutting import ENOUGH_WORDS, MOST_WORDS, passages_cut, sentences_of
from node.textbooks.docx_file import MOST_UNPACKED_BYTES
from node.textbooks.errors import TextbookKindUnknown
from node.textbooks.excerpt import excerpt_take
from node.textbooks.kinds import Kind, kind_of
from node.textbooks.letters import is_legible, letters_mend
from node.textbooks.pages import Block, Page, blocks_of, running_lines
from node.textbooks.reading import ReadingUnwanted, file_read
from node.textbooks.stems import asked_stems
from tests.node.textbook_files import docx_make, lessons_read, lines_of, pdf_bomb, pdf_make

FOTO, ROOTS = (lessons_read()[0][3][place][1] for place in (0, 1))
PAGES = (
    ["Биология 6", "§ 1. Фотосинтез", *lines_of(FOTO), "", *lines_of(ROOTS), "1"],
    ["Биология 6", "§ 2. Реша", *lines_of(ROOTS), "2"],
    ["Биология 6", "МАВЗӮИ НАВ", *lines_of(FOTO), "3"],
    ["Биология 6", *lines_of(ROOTS), "4"],
)


def wanted(_read, _total):
    return True


@pytest.fixture
def read(tmp_path):
    def of(content, heard=wanted):
        path = tmp_path / "book"
        path.write_bytes(content)
        return file_read(path, heard=heard)

    return of


def refused(read, content):
    with pytest.raises(FederationError) as caught:
        read(content)
    return caught.value.code


def test_a_pdf_gives_passages_with_page_and_heading_and_no_running_titles(read):
    cuts = read(pdf_make(*PAGES))
    assert [(cut.page, cut.heading) for cut in cuts] == [
        (1, "§ 1. Фотосинтез"),
        (2, "§ 2. Реша"),
        (3, "МАВЗӮИ НАВ"),
    ]
    assert cuts[0].text == f"{FOTO} {ROOTS}"
    assert cuts[2].text == f"{FOTO} {ROOTS}"
    assert "Биология 6" not in "".join(cut.text for cut in cuts)


def test_a_docx_gives_the_same_by_its_styles_and_page_breaks(read):
    cuts = read(docx_make(("1", "Фотосинтез"), FOTO, ("1", "\fРеша"), ROOTS))
    assert [(cut.page, cut.heading, cut.text) for cut in cuts] == [(1, "Фотосинтез", FOTO), (2, "Реша", ROOTS)]


def test_a_docx_without_page_breaks_names_no_page(read):
    (cut,) = read(docx_make(("1", "Фотосинтез"), FOTO))
    assert cut.page == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_text_file_is_read_with_form_feeds_as_pages(read, encoding):
    cuts = read(f"§ 1. Фотосинтез\n\n{FOTO}\n\f§ 2. Реша\n\n{ROOTS}".encode(encoding))
    assert [(cut.page, cut.heading, cut.text) for cut in cuts] == [
        (1, "§ 1. Фотосинтез", FOTO),
        (2, "§ 2. Реша", ROOTS),
    ]


def test_a_text_of_old_windows_in_an_old_tajik_font_comes_out_right(read):
    old = FOTO.translate(str.maketrans("ғӣқӯҳҷҒӢҚӮҲҶ", "ѓїќўњљЃЇЌЎЊЉ"))
    (cut,) = read(old.encode("cp1251"))
    assert cut.text == FOTO


def test_letters_that_were_taken_for_latin_ones_come_out_right():
    old = FOTO.translate(str.maketrans("ғӣқӯҳҷҒӢҚӮҲҶ", "ѓїќўњљЃЇЌЎЊЉ"))
    assert letters_mend(old.encode("cp1251").decode("latin-1")) == FOTO


@pytest.mark.parametrize("text", ["ӣ ва ӯ дар порча", "Der Bär läuft über die Straße", "Съешь ещё этих булок", FOTO])
def test_letters_that_are_right_stay(text):
    assert letters_mend(text) == text


def test_what_no_person_sees_is_known_for_broken():
    assert is_legible(FOTO * 3)
    assert is_legible("Русский учебник, в котором есть мы и вы. " * 30)
    assert not is_legible("Дар баргхои сабзи растани аз об ва гази карбон канд хосил мешавад. " * 30)
    assert not is_legible("\ue001\ue002\ue003 а б в " * 100)
    assert not is_legible(letters_mend("a\x01\x02\x03\ud800" * 200))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\xd0\xcf\x11\xe0" + bytes(5000), "textbook_kind_unknown"),
        (b"", "textbook_kind_unknown"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "textbook_kind_unknown"),
        (b"%PDF-1.7\n" + b"garbage" * 1000, "textbook_damaged"),
        (pdf_make(*PAGES)[:700], "textbook_damaged"),
        (b"PK\x03\x04" + b"garbage" * 1000, "textbook_damaged"),
        (pdf_make([""], [""], [""]), "textbook_without_text"),
        (pdf_make(["1"], ["2"], ["3"]), "textbook_without_text"),
        (pdf_make(*PAGES * 4, has_map=False), "textbook_letters_broken"),
        (pdf_make(*PAGES * 4, shift=0xE000 - 0x400), "textbook_letters_broken"),
        (docx_make(document="<w:document"), "textbook_damaged"),
        (("сатр " * 10 + "\f").encode() * 2001, "textbook_too_long"),
        (b"word " * 1_300_000, "textbook_too_long"),
    ],
    ids=[
        "doc", "empty", "png", "no-pdf", "cut-pdf", "no-zip", "blank-pages", "page-numbers-alone", "no-map",
        "private-letters", "cut-docx", "pages", "letters",
    ],
)  # fmt: skip
def test_what_cannot_be_read_ends_in_its_own_code(read, content, code):
    assert refused(read, content) == code


def test_an_archive_of_something_else_is_no_book(read, tmp_path):
    with zipfile.ZipFile(tmp_path / "other", "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    assert refused(read, (tmp_path / "other").read_bytes()) == "textbook_kind_unknown"


@pytest.mark.parametrize("megabytes", [60, 500])
def test_a_pdf_that_swells_ends_its_own_process_and_nothing_else(read, megabytes):
    bomb = pdf_bomb(megabytes * 1024**2)
    assert len(bomb) < 2_500_000
    assert refused(read, bomb) in {"textbook_too_heavy", "textbook_without_text", "textbook_damaged"}


def test_a_docx_that_swells_is_let_go_before_it_fills_the_memory(read):
    swollen = b"<a>" + b" " * (MOST_UNPACKED_BYTES + 1)
    bomb = docx_make(document=swollen.decode())
    assert len(bomb) < 200_000
    assert refused(read, bomb) == "textbook_too_heavy"


def test_entities_that_multiply_do_not(read):
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE x [<!ENTITY e0 "ҳа">{entities}]><x>&e11;</x>'
    assert refused(read, docx_make(document=bomb)) in {"textbook_damaged", "textbook_too_heavy"}


def test_an_encrypted_pdf_says_so_and_one_with_an_empty_password_opens(read, tmp_path):
    from pypdf import PdfReader, PdfWriter  # noqa: PLC0415 - the heavy library is loaded by no other test

    for password, code in (("сир", "textbook_encrypted"), ("", None)):
        (tmp_path / "plain").write_bytes(pdf_make(*PAGES))
        writer = PdfWriter(clone_from=PdfReader(tmp_path / "plain"))
        writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-128")
        writer.write(tmp_path / "locked")
        content = (tmp_path / "locked").read_bytes()
        if code:
            assert refused(read, content) == code
        else:
            assert read(content)[0].heading == "§ 1. Фотосинтез"


def test_a_reading_that_nobody_wants_any_more_ends(read):
    told = []

    def heard(done, total):
        told.append((done, total))
        return False

    with pytest.raises(ReadingUnwanted):
        read(pdf_make(*PAGES * 50), heard=heard)
    assert told == [(0, 0)]


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        ("bytearray(2 * 1024**3)", "MemoryError"),
        ("open(sys.argv[1], 'wb', 0).write(b'x')", "OSError"),
    ],
)
def test_the_process_that_reads_has_little_memory_and_may_write_no_file(tmp_path, code, ends):
    program = f"import sys; from node.textbooks.extraction import limits_set; limits_set(); {code}"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "made")],
        env=program_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0
    assert ends in ended.stderr or "File size limit" in ended.stderr or ended.returncode < 0
    assert not (tmp_path / "made").exists() or (tmp_path / "made").stat().st_size == 0


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"%PDF-1.4", Kind.PDF),
        (b"\xef\xbb\xbfjunk%PDF-1.4", Kind.PDF),
        (b"PK\x03\x04x", Kind.DOCX),
        (b"\xc0\xe1", Kind.TEXT),
    ],
)
def test_a_kind_is_known_by_its_bytes(head, kind):
    assert kind_of(head) is kind


def test_a_text_in_two_bytes_a_letter_is_refused_and_not_misread():
    with pytest.raises(TextbookKindUnknown):
        kind_of("Салом".encode("utf-16"))


def test_lines_are_joined_and_split_words_made_whole():
    lines = ["Растанӣ дар хок меру-", "яд ва об", "мехоҳад.", "", "Дигар."]
    assert blocks_of(lines) == (
        Block("Растанӣ дар хок мерӯяд ва об мехоҳад.".replace("мерӯяд", "меруяд")),
        Block("Дигар."),
    )


def test_what_stands_at_the_edge_of_many_pages_is_no_text():
    assert running_lines([["Китоб", "сатр", str(n)] for n in range(9)]) == {"Китоб"}
    assert running_lines([["Китоб", "сатр"]]) == frozenset()


word = st.text(alphabet="абвгдҳқӯ", min_size=1, max_size=8)
sentence = st.lists(word, min_size=1, max_size=200).map(lambda words: " ".join(words).capitalize() + ".")
block = st.builds(Block, st.lists(sentence, min_size=1, max_size=4).map(" ".join))
heading = st.builds(Block, word, is_heading=st.just(value=True))


@given(st.lists(st.lists(block | heading, max_size=6), max_size=5))
def test_every_word_is_in_exactly_one_passage_and_none_is_too_long(pages):
    cuts = passages_cut(Page(number=n, blocks=tuple(blocks)) for n, blocks in enumerate(pages, start=1))
    words = [w for blocks in pages for each in blocks if not each.is_heading for w in each.text.split()]
    assert [w for cut in cuts for w in cut.text.split()] == words
    assert all(0 < len(cut.text.split()) <= MOST_WORDS + 15 for cut in cuts)
    assert [cut.page for cut in cuts] == sorted(cut.page for cut in cuts)


def test_passages_of_flowing_text_have_sixty_to_a_hundred_and_fifty_words():
    text = " ".join(f"{FOTO} {ROOTS}" for _time in range(12))
    sizes = [len(cut.text.split()) for cut in passages_cut([Page(number=1, blocks=(Block(text),))])]
    assert all(ENOUGH_WORDS <= size <= MOST_WORDS for size in sizes[:-1])
    assert all(cut.text.endswith(".") for cut in passages_cut([Page(number=1, blocks=(Block(text),))]))


def test_an_excerpt_has_the_sentences_that_speak_of_what_is_asked():
    text = f"{ROOTS} {FOTO}"
    taken = excerpt_take(text, asked=asked_stems("Оксиген ба ҳаво?"), most_characters=200)
    assert "оксиген" in taken
    assert len(taken) <= 200
    assert taken in text
    assert len(excerpt_take("а" * 500, asked=["а"], most_characters=100)) <= 100
    assert sentences_of(FOTO)[2].startswith("Ҳангоми")

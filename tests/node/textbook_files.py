"""Books as files, made byte by byte: PDFs whose letters a font's map explains, and DOCX as a Russian Word lays it."""

import io
import zipfile
import zlib
from pathlib import Path

from node.textbooks.services import About, Upload, textbook_add, textbook_read_next
from tests.node.conftest import NOW

LESSONS = Path(__file__).parents[1] / "textbooks"
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def pdf_make(*pages, has_map=True, shift=0):
    """Return a PDF of pages of lines; without its map, or with one that is shifted, its letters mean nothing."""
    letters = sorted({letter for lines in pages for line in lines for letter in line})
    codes = {letter: number for number, letter in enumerate(letters, start=1)}
    pairs = "\n".join(f"<{codes[each]:04x}> <{ord(each) + shift:04x}>" for each in letters)
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def\n"
        "1 begincodespacerange <0000> <ffff> endcodespacerange\n"
        f"{len(letters)} beginbfchar\n{pairs}\nendbfchar endcmap end end"
    )
    font = "<< /Type /Font /Subtype /Type0 /BaseFont /A /Encoding /Identity-H /DescendantFonts [4 0 R]"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>"
        % (b" ".join(b"%d 0 R" % (6 + 2 * n) for n in range(len(pages))), len(pages)),
        (font + (" /ToUnicode 5 0 R >>" if has_map else " >>")).encode(),
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /A /DW 500 /CIDSystemInfo << /Ordering (Identity) >> >>",
        _stream(cmap.encode()),
    ]
    for number, lines in enumerate(pages):
        shown = "".join(
            f"BT /F 11 Tf 1 0 0 1 50 {800 - 14 * place} Tm <{''.join(f'{codes[each]:04x}' for each in line)}> Tj ET\n"
            for place, line in enumerate(lines)
            if line
        )
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F 3 0 R >> >> "
            b"/Contents %d 0 R >>" % (7 + 2 * number)
        )
        objects.append(_stream(shown.encode()))
    return _file(objects)


def pdf_bomb(swollen_bytes):
    """Return a PDF of one page whose drawing swells to so many bytes."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(b" " * 1024**2) for _piece in range(swollen_bytes // 1024**2)) + packer.flush()
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << >> /Contents 4 0 R >>"
    pages = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page]
    return _file([*pages, _stream(packed, b"/Filter /FlateDecode ")])


def _stream(content, filters=b""):
    return b"<< %s/Length %d >>\nstream\n%s\nendstream" % (filters, len(content), content)


def _file(objects):
    written, places = b"%PDF-1.5\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    rows = b"".join(b"%010d 00000 n \n" % place for place in places)
    table = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, rows)
    trailer = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(written))
    return written + table + trailer


def docx_make(*paragraphs, document=None):
    """Return a DOCX; a paragraph is its text, or a pair of the name of its style in Russian Word and its text."""
    body = "".join(
        _paragraph(style, text)
        for style, text in ((each if isinstance(each, tuple) else ("a", each)) for each in paragraphs)
    )
    styles = (
        '<w:style w:styleId="1"><w:name w:val="heading 1"/><w:pPr><w:outlineLvl w:val="0"/></w:pPr></w:style>'
        '<w:style w:styleId="a"><w:name w:val="Normal"/></w:style>'
    )
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "word/document.xml", document or f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'
        )
        archive.writestr("word/styles.xml", f'<w:styles xmlns:w="{W}">{styles}</w:styles>')
    return kept.getvalue()


def _paragraph(style, text):
    page = '<w:br w:type="page"/>' if text.startswith("\f") else ""
    return f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r>{page}<w:t>{text.strip()}</w:t></w:r></w:p>'


def lines_of(text, width=80):
    """Return `text` broken into lines as print has them."""
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return [*lines, line]


def upload_of(content):
    return Upload(content=iter([content]), size_bytes=len(content))


def book_add(root, content, title="Биология 6", subject="biology", grade=6):
    about = About(title=title, subject=subject, grade=grade)
    return textbook_add(about=about, upload=upload_of(content), root=root, now=NOW).textbook


def book_read(root, content, **about):
    """Return a book that was added and read."""
    book = book_add(root, content, **about)
    while textbook_read_next(root=root, now=NOW):
        pass
    book.refresh_from_db()
    return book


def lessons_read():
    """Return the lessons of the measured set: title, subject, grade, and headings with their texts."""
    books = []
    for line in (LESSONS / "lessons.tg.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            title, subject, grade = (part.strip() for part in line[2:].split("|"))
            books.append((title, subject, int(grade), []))
        elif line.startswith("## "):
            books[-1][3].append([line[3:], ""])
        elif line:
            books[-1][3][-1][1] = line
    return books


def questions_read(name="questions.tg.txt"):
    """Return the measured questions: the question, the heading that answers it («-»: none), subject and grade."""
    questions = []
    for line in (LESSONS / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            parts = [part.strip() for part in line.split("|")]
            questions.append(
                (parts[0], parts[1], parts[2] if len(parts) > 2 else "", int(parts[3]) if len(parts) > 3 else 0)
            )
    return questions

"""Draws claim sheets: a page a school, in Tajik and Russian, with all that its PC must be told and a QR that holds it.

Knows nothing of the database. The QR is vector graphics, so a sheet survives a poor printer and a copying machine.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from textwrap import wrap

import font_roboto
import segno
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_LEFT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph

from central.schools.invitations import DrawnCode
from federation.wire.sheet import Sheet, sheet_text

LANGUAGES = ("tg", "ru")
PLAIN, BOLD = "SoroSheet", "SoroSheetBold"
WIDTH, HEIGHT = A4
MARGIN = 20 * mm
TEXT_WIDTH = WIDTH - 2 * MARGIN
QUIET = 4
"""Light cells around the square, as its standard asks."""
STEPS = "steps"
QR_SIDE = 62 * mm
GAP = 8 * mm
LEFT_WIDTH = TEXT_WIDTH - QR_SIDE - GAP
INK, GREY = HexColor("#1a1a1a"), HexColor("#5f5f5f")


@dataclass(frozen=True, slots=True, kw_only=True)
class CentrePrint:
    """What every sheet of one centre says alike."""

    address: str
    root_sha256: str
    authority_sha256: str


def sheets_draw(*, drawn: Sequence[DrawnCode], centre: CentrePrint) -> bytes:
    """Return a PDF with one A4 page for each school, in the order of `drawn`."""
    _fonts_register()
    stream = io.BytesIO()
    # A PDF without time and random id: the same codes give the same bytes.
    canvas = Canvas(stream, pagesize=A4, invariant=True)
    canvas.setTitle("Soro")
    _steps_keep(canvas)
    for each in drawn:
        _page(canvas, each, centre)
        canvas.showPage()
    canvas.save()
    return stream.getvalue()


@cache
def _fonts_register() -> None:
    # Roboto has the letters of Tajik (ғ ӣ қ ӯ ҳ ҷ); the fonts that every PDF reader brings have no Cyrillic at all.
    pdfmetrics.registerFont(TTFont(PLAIN, font_roboto.font_files["Roboto"]))
    pdfmetrics.registerFont(TTFont(BOLD, font_roboto.font_files["RobotoBold"]))


def _page(canvas: Canvas, drawn: DrawnCode, centre: CentrePrint) -> None:
    sheet = Sheet(
        code=drawn.code,
        root_sha256=centre.root_sha256,
        authority_sha256=centre.authority_sha256,
        address=centre.address,
    )
    top = _head(canvas, drawn)
    _qr(canvas, sheet_text(sheet), WIDTH - MARGIN - QR_SIDE, top - QR_SIDE)
    below = _facts(canvas, drawn, centre, top)
    canvas.saveState()
    canvas.translate(0, min(below, top - QR_SIDE) - 10 * mm - HEIGHT)
    canvas.doForm(STEPS)
    canvas.restoreState()


def _head(canvas: Canvas, drawn: DrawnCode) -> float:
    """Write whose sheet it is and return how far down the page is filled."""
    place = ", ".join(filter(None, (drawn.school.region, drawn.school.district)))
    top = HEIGHT - MARGIN
    top = _text(canvas, drawn.school.name, top, size=22, font=BOLD)
    top = _text(canvas, place, top - 1 * mm, size=12, colour=GREY) if place else top
    top -= 4 * mm
    canvas.setStrokeColor(GREY)
    canvas.line(MARGIN, top, WIDTH - MARGIN, top)
    return top - 8 * mm


def _facts(canvas: Canvas, drawn: DrawnCode, centre: CentrePrint, top: float) -> float:
    until = f"{timezone.localtime(drawn.expires_at):%d.%m.%Y}"
    facts = [
        (_both("Claim code"), drawn.code, 24, BOLD),
        (_both("Valid until"), until, 12, PLAIN),
        (_both("The centre's address"), centre.address, 12, PLAIN),
        (_both("Fingerprint of the root of trust"), _groups(centre.root_sha256), 10, PLAIN),
    ]
    if centre.authority_sha256:
        facts.append((_both("Fingerprint of the web server's authority"), _groups(centre.authority_sha256), 10, PLAIN))
    for label, value, size, font in facts:
        top = _text(canvas, label, top, size=9, colour=GREY, width=LEFT_WIDTH)
        for line in value.split("\n"):
            top = _text(canvas, line, top, size=size, font=font, width=LEFT_WIDTH)
        top -= 3 * mm
    return top


def _steps_keep(canvas: Canvas) -> None:
    """Keep what every sheet says alike in the document once, as if it began at the top of a page."""
    canvas.beginForm(STEPS, 0, 0, WIDTH, HEIGHT)
    top = HEIGHT
    for language in LANGUAGES:
        with translation.override(language):
            top = _steps(canvas, top)
    canvas.endForm()


def _steps(canvas: Canvas, top: float) -> float:
    steps = (
        _("On the school's PC, open the page «Enrol this PC» and scan the square, or paste what a telephone reads."),
        _("Without a scanner, type the code, the address and the fingerprint into the same page."),
        _(
            "Without internet, type the code and the fingerprint into the page «USB stick», write them to the "
            "courier's stick, and bring the next one in."
        ),
        _("The page then names your school. If it names another one, or refuses the fingerprint, call the ministry."),
    )
    top = _text(canvas, _("How to connect the school's PC"), top, size=13, font=BOLD) - 1 * mm
    for number, step in enumerate(steps, 1):
        top = _text(canvas, f"{number}. {step}", top, size=11) - 1 * mm
    warning = _(
        "This sheet works once, like a key. Give it only to the head of the school. A newer sheet voids this one."
    )
    return _text(canvas, warning, top, size=11, font=BOLD) - 8 * mm


def _both(message: str) -> str:
    said = []
    for language in LANGUAGES:
        with translation.override(language):
            said.append(_(message))
    return " · ".join(said)


def _groups(digest: str) -> str:
    return "\n".join(wrap(" ".join(wrap(digest, 8)), 4 * 9))


def _text(
    canvas: Canvas,
    text: str,
    top: float,
    *,
    size: float,
    font: str = PLAIN,
    colour: HexColor = INK,
    width: float = TEXT_WIDTH,
) -> float:
    """Write `text`, wrapped, with its upper edge at `top`, and return where it ends."""
    style = ParagraphStyle(
        "sheet", fontName=font, fontSize=size, leading=size * 1.25, textColor=colour, alignment=TA_LEFT,
        splitLongWords=True,
    )  # fmt: skip
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    paragraph = Paragraph(escaped, style)
    _width, height = paragraph.wrapOn(canvas, width, HEIGHT)
    paragraph.drawOn(canvas, MARGIN, top - height)
    return top - height


def _qr(canvas: Canvas, text: str, left: float, bottom: float) -> None:
    # A seventh of the square may be spoilt by folds and it is still read; more would make its cells too small.
    modules = [list(row) for row in segno.make(text, error="m", micro=False).matrix]
    side = len(modules) + 2 * QUIET
    canvas.saveState()
    canvas.translate(left, bottom)
    canvas.scale(QR_SIDE / side, QR_SIDE / side)
    canvas.setFillColor(HexColor("#000000"))
    path = canvas.beginPath()
    for row, cells in enumerate(modules):
        for start, length in _runs(cells):
            path.rect(start + QUIET, side - QUIET - 1 - row, length, 1)
    canvas.drawPath(path, stroke=0, fill=1)
    canvas.restoreState()


def _runs(cells: Sequence[int]) -> list[tuple[int, int]]:
    """Return start and length of each run of dark cells: one rectangle a run leaves no hairlines between modules."""
    runs: list[tuple[int, int]] = []
    for position, is_dark in enumerate(cells):
        if not is_dark:
            continue
        if runs and sum(runs[-1]) == position:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((position, 1))
    return runs

"""The page for the wall: the address that pupils type, and a square that a telephone reads."""

from __future__ import annotations

from collections.abc import Sequence

import segno
from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

HTTP_PORT = 80
MOST = 3


def page_addresses(*, hosts: Sequence[str], port: int) -> tuple[str, ...]:
    """Return the addresses of the page on the school's network, as short as they can be typed."""
    place = "" if port == HTTP_PORT else f":{port}"
    return tuple(f"http://{host}{place}" for host in hosts)


def address_sheet(*, addresses: Sequence[str], school: str) -> str:
    """Return a page of HTML that stands for itself, in every language of the page; `school` may be empty."""
    words = []
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            words.append((code, _("Soro answers here"), _("Connect to the school's network and type this address.")))
    squares = [(address, segno.make(address, error="m", micro=False).svg_inline(scale=8)) for address in addresses]
    return render_to_string("node/address_sheet.html", {"school": school, "words": words, "squares": squares[:MOST]})

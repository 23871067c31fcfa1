"""What an adapter's card says of where it comes from, in the reader's language: rounds, mode, schools, labels, ε.

A card is signed as it is, and `release_show --json` prints it; what has no words here is not drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

SHORT = 8
"""Digits of a season's name, as its own pages have it; nothing else that is drawn is a name without words."""
WORDS: Mapping[str, str] = {
    "season": _("season"),
    "rounds": _("rounds"),
    "mode": _("mode"),
    "scheme": _("scheme"),
    "updates": _("updates"),
    "labels": _("labels"),
    "schools": _("schools"),
    "staleness": _("staleness"),
    "largest_weight": _("largest share of one school"),
    "epsilon": "ε",
}
NAMES: Mapping[str, str] = {
    "plain": _("plain"),
    "robust": _("robust"),
    "private": _("private"),
    "ffa-lora": "FFA-LoRA",
    "fed-sb": "Fed-SB",
    "fedit": "FedIT",
    "flora": "FLoRA",
}


def card_draw(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and value of what an adapter's card says, in the language in force."""
    return [(gettext(words), _said(card[name])) for name, words in WORDS.items() if name in card]


def _said(value: Any) -> str:  # noqa: ANN401 - a card is plain JSON
    match value:
        case Mapping():
            return ", ".join(f"{each or '–'} (× {count})" for each, count in value.items())
        case list():
            return ", ".join(str(each) for each in value)
        case str():
            return gettext(NAMES[value]) if value in NAMES else value[:SHORT]
        case float():
            return f"{value:.3g}"
        case _:
            return str(value)

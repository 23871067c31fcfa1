"""A formula in one line of plain text: for browsers that draw no MathML, and for whatever reads a page aloud.

«x²» is x^2, a fraction is (a+b)/c, a root is √(x): as one writes where there is only a keyboard.
"""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree as ET  # nosec B405 # as below

_MATHML = "{http://www.w3.org/1998/Math/MathML}"
_BIG = frozenset("∑∏∫∮⋃⋂")
_TABLES = {"mtable": "; ", "mtr": ", "}


def formula_words(mathml: str) -> str:
    """Return the formula of one `math` element in one line.

    Raises:
        ParseError: it is not well formed.
    """
    # No document from outside: the library that turns LaTeX into MathML has just built it, and it declares no entities.
    return " ".join(_words(ET.fromstring(mathml)).split())  # nosec B314 # noqa: S314


def _words(element: ET.Element) -> str:
    name = element.tag.removeprefix(_MATHML)
    parts = [_words(child) for child in element]
    if name in _WAYS and len(parts) == _WAYS[name][0]:
        # A sum or an integral with its bounds is a word of its own before what it goes over.
        gap = " " if parts[0] in _BIG else ""
        return _WAYS[name][1](*parts) + gap
    if name == "msqrt":
        return f"√({''.join(parts)})"
    if name in _TABLES:
        return _TABLES[name].join(parts)
    return (element.text or "") + "".join(parts)


def _grouped(words: str) -> str:
    """Return `words` in brackets where they are more than one letter or number."""
    return words if len(words) == 1 or words.replace(".", "").isdecimal() else f"({words})"


_WAYS: dict[str, tuple[int, Callable[..., str]]] = {
    "mfrac": (2, lambda above, below: f"{_grouped(above)}/{_grouped(below)}"),
    "msup": (2, lambda base, high: f"{base}^{_grouped(high)}"),
    "msub": (2, lambda base, low: f"{base}_{_grouped(low)}"),
    "msubsup": (3, lambda base, low, high: f"{base}_{_grouped(low)}^{_grouped(high)}"),
    "munder": (2, lambda base, low: f"{base}_{_grouped(low)}"),
    "mover": (2, lambda base, high: f"{base}{high}"),
    "munderover": (3, lambda base, low, high: f"{base}_{_grouped(low)}^{_grouped(high)}"),
    "mroot": (2, lambda inside, degree: f"{_grouped(inside)}^(1/{degree})"),
}

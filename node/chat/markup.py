"""Turn a model's answer into safe HTML: Markdown, and formulas as MathML, which browsers draw without any script.

Nothing that the model or a pupil writes becomes markup of its own: raw HTML is text, and the result passes a
sanitiser that knows only the tags below.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from functools import cache
from typing import Any

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

# Pandoc's rule for single dollars: no space inside, no digit after, so that «5$ ва 6$» stays money.
_FORMULA = re.compile(
    r"\$\$(?P<block>.+?)\$\$|\\\[(?P<bracket>.+?)\\\]|\\\((?P<inline>.+?)\\\)"
    r"|\$(?=\S)(?P<dollar>[^$\n]*?[^\s$\\])\$(?!\d)",
    re.DOTALL,
)
_MATHML = {
    "math", "menclose", "merror", "mfenced", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom",
    "mprescripts", "mroot", "mrow", "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd",
    "mtext", "mtr", "munder", "munderover",
}  # fmt: skip
_HTML = {
    "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "math": {"display", "xmlns"},
    "mo": {"stretchy", "fence", "form", "separator", "lspace", "rspace", "minsize", "maxsize"},
    "mi": {"mathvariant"},
    "mfrac": {"linethickness"},
    "mover": {"accent"},
    "mspace": {"width"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "mtable": {"columnalign", "rowspacing", "columnspacing"},
    "mtd": {"columnalign"},
    "ol": {"start"},
}


def answer_html(text: str) -> SafeString:
    """Return `text` as HTML that is safe to show; a formula that cannot be read is shown as it was written."""
    return mark_safe(nh3.clean(_markdown().render(text), tags=_HTML | _MATHML, attributes=_ATTRIBUTES, link_rel=None))  # noqa: S308 - sanitised


@cache
def _markdown() -> MarkdownIt:
    # Links and pictures stay text: there is no internet behind them at school.
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    markdown.disable(["link", "image", "autolink", "html_inline", "html_block"])
    markdown.inline.ruler.before("escape", "formula", _formula_read)
    markdown.add_render_rule("formula", _formula_render)
    return markdown


def _formula_read(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\":
        return False
    found = _FORMULA.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        token = state.push("formula", "", 0)
        token.content = next(group for group in found.groups() if group is not None)
        token.meta = {"display": "block" if found["block"] or found["bracket"] else "inline"}
        token.info = found[0]
    state.pos = found.end()
    return True


def _formula_render(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: MutableMapping[str, Any]
) -> str:
    token = tokens[index]
    try:
        return convert(token.content, display=token.meta["display"])
    except Exception:  # noqa: BLE001 - latex2mathml raises bare ones too on a model's malformed formula
        return f"<code>{escape(token.info)}</code>"

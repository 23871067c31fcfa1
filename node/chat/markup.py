"""Turn a model's answer into safe HTML: Markdown, and formulas as MathML, which browsers draw without any script.

Nothing that the model or a pupil writes becomes markup of its own: raw HTML is text, and the result passes a
sanitiser that knows only the tags below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
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

from node.chat.formula_words import formula_words

# Pandoc's rule for single dollars: no space inside, no digit after, so that «5$ ва 6$» stays money. A formula has an
# end within a thousand letters, so that a text of ten thousand openings does not keep the PC busy.
_FORMULA = re.compile(
    r"\$\$(?P<block>.{1,1000}?)\$\$|\\\[(?P<bracket>.{1,1000}?)\\\]|\\\((?P<inline>.{1,1000}?)\\\)"
    r"|\$(?=\S)(?P<dollar>[^$\n]{0,999}?[^\s$\\])\$(?!\d)",
    re.DOTALL,
)
_CITATION = re.compile(r"\[(\d)\]")
_MATHML = {
    "math", "menclose", "merror", "mfenced", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom",
    "mprescripts", "mroot", "mrow", "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd",
    "mtext", "mtr", "munder", "munderover",
}  # fmt: skip
_HTML = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "a": {"href"},
    "math": {"display", "xmlns", "alttext"},
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


def answer_html(text: str, sources: Mapping[int, str] | None = None) -> SafeString:
    """Return `text` as HTML that is safe to show; a formula that cannot be read is shown as it was written.

    `sources` are addresses of this site by number: a «[1]» in the text leads to the first.
    """
    rendered = _markdown().render(text, {"sources": sources or {}})
    return mark_safe(nh3.clean(rendered, tags=_HTML | _MATHML, attributes=_ATTRIBUTES, link_rel=None))  # nosec B308 B703 # noqa: S308 - sanitised


@cache
def _markdown() -> MarkdownIt:
    # Links and pictures stay text: there is no internet behind them at school.
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    markdown.disable(["link", "image", "autolink", "html_inline", "html_block"])
    markdown.inline.ruler.before("escape", "formula", _formula_read)
    markdown.add_render_rule("formula", _formula_render)
    markdown.inline.ruler.before("escape", "citation", _citation_read)
    markdown.add_render_rule("citation", _citation_render)
    return markdown


def _citation_read(state: StateInline, silent: bool) -> bool:
    found = _CITATION.match(state.src, state.pos)
    if found is None or int(found[1]) not in state.env["sources"]:
        return False
    if not silent:
        token = state.push("citation", "", 0)
        token.content = found[1]
    state.pos = found.end()
    return True


def _citation_render(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    number = tokens[index].content
    return f'<a href="{escape(env["sources"][int(number)])}">[{number}]</a>'


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
        formula = convert(token.content, display=token.meta["display"])
        return formula.replace("<math ", f'<math alttext="{escape(formula_words(formula))}" ', 1)
    except Exception:  # noqa: BLE001 - latex2mathml raises bare ones too on a model's malformed formula
        return f"<code>{escape(token.info)}</code>"

"""Template filters that turn an answer or a masked text into safe HTML."""

from __future__ import annotations

import re
from html import unescape

from django import template
from django.utils.html import escape, strip_tags
from django.utils.safestring import SafeString, mark_safe

from node.chat import markup

register = template.Library()
_PLACEHOLDER = re.compile(r"\[(?:почтаи электронӣ|рақами корт|рақами телефон|рақами ҳуҷҷат|ном)\]")


@register.filter
def answer_html(text: str) -> SafeString:
    """Return a model's answer laid out."""
    return markup.answer_html(text)


@register.filter
def answer_words(text: str) -> str:
    """Return a model's answer as plain words, for a list."""
    return unescape(strip_tags(markup.answer_html(text)))


@register.filter
def placeholders(text: str) -> SafeString:
    """Return a masked text with its placeholders marked for the eye."""
    marked = _PLACEHOLDER.sub(lambda found: f"<mark>{found[0]}</mark>", escape(text))
    return mark_safe(marked)  # noqa: S308 - escaped in the line above

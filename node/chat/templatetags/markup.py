"""Template filters that turn an answer into safe HTML."""

from __future__ import annotations

from collections.abc import Iterable
from html import unescape

from django import template
from django.urls import reverse
from django.utils.html import strip_tags
from django.utils.safestring import SafeString

from node.chat import markup
from node.chat.models import Citation

register = template.Library()


@register.filter
def answer_html(text: str) -> SafeString:
    """Return a model's answer laid out."""
    return markup.answer_html(text)


@register.simple_tag
def answer_cited(text: str, citations: Iterable[Citation] | None) -> SafeString:
    """Return a model's answer laid out, each [1] in it a way to the passage of this number."""
    ways = {each.number: reverse("passage", args=[each.passage_id]) for each in citations or () if each.passage_id}
    return markup.answer_html(text, ways)


@register.filter
def answer_words(text: str) -> str:
    """Return a model's answer as plain words, for a list."""
    return unescape(strip_tags(markup.answer_html(text)))

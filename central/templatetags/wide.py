"""`{% wide "what the table is of" %}…{% endwide %}`: a table that scrolls inside a page narrower than itself."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_block_tag
def wide(content: SafeString, words: str) -> SafeString:
    """Return `content` in a region that the keyboard reaches, since only what has the focus is scrolled by it."""
    return format_html('<div class="page-wide" tabindex="0" role="region" aria-label="{}">{}</div>', words, content)

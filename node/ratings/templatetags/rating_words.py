"""The bar of a rating under an answer, and masked texts with their placeholders marked."""

from __future__ import annotations

import re
from typing import Any

from django import template
from django.contrib.auth.models import User
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from node.chat.models import Answer
from node.ratings.masking import PersonalKind
from node.ratings.models import Rating

register = template.Library()
_PLACEHOLDER = re.compile("|".join(re.escape(kind.value) for kind in PersonalKind))


@register.inclusion_tag("node/rating_bar.html", takes_context=True)
def rating_bar(context: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """Return what the bar under `answer` shows; one that was just written has no page around it, and no rating yet."""
    user = context.get("user")
    is_known = isinstance(user, User)
    rating = Rating.objects.active().filter(answer=answer, teacher=user).first() if is_known else None
    return {"answer": answer, "rating": rating}


@register.filter
def placeholders(text: str) -> SafeString:
    """Return a masked text with its placeholders marked for the eye."""
    marked = _PLACEHOLDER.sub(lambda found: f"<mark>{found[0]}</mark>", escape(text))
    return mark_safe(marked)  # nosec B308 B703 # noqa: S308 - escaped in the line above

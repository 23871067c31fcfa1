"""Template filters that put plain values into the reader's words."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.translation import gettext as _

from node.sentences import code_sentence
from node.status_sentences import clock_sentence

register = template.Library()
MINUTE, HOUR, DAY = 60, 3600, 86400

register.filter("sentence", code_sentence)
register.filter("clock_off", clock_sentence)


@register.filter
def age(moment: datetime) -> str:
    """Return how long ago `moment` was, in one rounded unit; Django's own words for it lack Tajik."""
    seconds = max(0.0, (timezone.now() - moment).total_seconds())
    if seconds < HOUR:
        return _("%(count)d min") % {"count": seconds // MINUTE}
    if seconds < DAY:
        return _("%(count)d h") % {"count": seconds // HOUR}
    return _("%(count)d d") % {"count": seconds // DAY}

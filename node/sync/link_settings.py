"""The only writer of what the head decides about the school's link and its other PCs."""

from __future__ import annotations

from datetime import time

from django.db import transaction

from node.sync.errors import LinkRuleRefused
from node.sync.link_rule import LinkRule
from node.sync.models import LinkSettings

SLOWEST_KBIT_S, FASTEST_KBIT_S = 8, 1_000_000


def link_settings_read() -> LinkSettings:
    """Return the settings; those of a school where nobody decided anything are free: no cap, any hour, shared."""
    return LinkSettings.objects.first() or LinkSettings()


def link_rule_read() -> LinkRule:
    """Return the rule by which releases may come over the link now."""
    kept = link_settings_read()
    return LinkRule(
        cap_kbit_s=kept.cap_kbit_s,
        cap_from=kept.cap_from,
        cap_until=kept.cap_until,
        opens_at=kept.opens_at,
        closes_at=kept.closes_at,
    )


@transaction.atomic
def link_settings_write(
    *,
    cap_kbit_s: int | None,
    opens_at: time | None,
    closes_at: time | None,
    is_shared: bool,
    cap_from: time | None = None,
    cap_until: time | None = None,
) -> None:
    """Keep what the head decided; it counts from the next range that is asked for.

    Raises:
        LinkRuleRefused: a cap under 8 kbit/s or over 1 Gbit/s, or hours with one end.
    """
    hours = {"opens_at": opens_at, "closes_at": closes_at, "cap_from": cap_from, "cap_until": cap_until}
    if cap_kbit_s is not None and not SLOWEST_KBIT_S <= cap_kbit_s <= FASTEST_KBIT_S:
        raise LinkRuleRefused(field="cap_kbit_s", value=cap_kbit_s)
    for begin, end in (("opens_at", "closes_at"), ("cap_from", "cap_until")):
        missing = [name for name in (begin, end) if hours[name] is None]
        if len(missing) == 1:
            raise LinkRuleRefused(field=missing[0], value="")
    LinkSettings.objects.update_or_create(
        is_only=True,
        defaults={"cap_kbit_s": cap_kbit_s, "is_shared": is_shared, **hours},
    )

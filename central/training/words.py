"""Words for people that stand in no single page: what a round that collects waits for."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext_noop as _

WAITS: Mapping[str, str] = {
    "collecting": _("more updates, or its deadline"),
    "enough_updates": _("nothing: it is combined with the next look"),
    "deadline": _("nothing: it is combined with the next look"),
    "season_closed": _("nothing: it is combined with the next look"),
    "not_enough_updates": _("more updates: its deadline is put off"),
    "another_round_combined": _("another round of the season, which is being combined"),
    "candidate_waiting": _("the signature of the last candidate; meanwhile it goes on collecting"),
}

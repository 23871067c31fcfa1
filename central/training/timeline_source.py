"""What a school's timeline says of its learning: each update, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable

from django.urls import reverse
from django.utils.translation import gettext

from central.schools.models import School
from central.schools.timeline import EntryKind, TimelineEntry
from central.training.models import Update
from central.words import sentence


def updates_of(school: School, most: int) -> Iterable[TimelineEntry]:
    """Return one entry for each update of the school."""
    for update in Update.objects.filter(node__school=school).select_related("round__season")[:most]:
        yield TimelineEntry(
            at=update.received_at,
            kind=EntryKind.UPDATE,
            words=_words(update),
            place=reverse("admin:training_update_change", args=[update.pk]),
        )


def _words(update: Update) -> str:
    told = {"labels": update.labels, "status": update.get_status_display()}
    words = gettext("an update (labels: %(labels)s): %(status)s") % told
    if update.round is not None:
        words += ", " + gettext("counted in %(round)s") % {"round": update.round}
    return f"{words}. {sentence(update.code, {})}" if update.code else words

"""The alarms of copies that are too old, in words for the admin's pages."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from central.backup.ages import Copy, CopyAge, copies_read
from central.releases.metadata_alarm import Alarm

_WORDS = {
    Copy.DATABASE: gettext_lazy("the database"),
    Copy.LOG: gettext_lazy("the database's log"),
    Copy.FILES: gettext_lazy("the centre's files"),
}


def backup_alarms(*, place: Path | None, now: datetime) -> tuple[Alarm, ...]:
    """Return one alarm for each copy that is late."""
    return tuple(Alarm(text=_text(each), is_urgent=True) for each in copies_read(place) if each.is_late(now))


def _text(age: CopyAge) -> str:
    what = str(_WORDS[age.copy])
    if age.made_at is None:
        return _("There is no backup of this: %(copy)s; what to do stands in docs/operations.md.") % {"copy": what}
    date = f"{timezone.localtime(age.made_at):%Y-%m-%d %H:%M}"
    return _("A backup is too old: %(copy)s, the newest of %(date)s; what to do stands in docs/operations.md.") % {
        "copy": what,
        "date": date,
    }

"""What a school's timeline says of its ratings: how many came on each day, and when its disk seemed to be copied."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time
from urllib.parse import urlencode

from django.db.models import Count, Q
from django.db.models.functions import TruncDate
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from central.feedback.models import CloneAlarm, Rating
from central.schools.models import School
from central.schools.timeline import EntryKind, TimelineEntry

_NOON = time(12)


def ratings_by_day(school: School, most: int) -> Iterable[TimelineEntry]:
    """Return one entry for each day on which ratings of the school came in, and one for each clone alarm."""
    place = f"{reverse('admin:feedback_rating_changelist')}?{urlencode({'q': school.name})}"
    days = (
        Rating.objects.filter(node__school=school)
        .order_by()
        .annotate(day=TruncDate("received_at"))
        .values_list("day")
        .annotate(number=Count("pk"), corrections=Count("pk", filter=~Q(correction="")))
        .order_by("-day")[:most]
    )
    for day, number, corrections in days:
        words = gettext("ratings that came in: %(number)s") % {"number": number}
        if corrections:
            words += ", " + gettext("with a correction: %(number)s") % {"number": corrections}
        at = timezone.make_aware(datetime.combine(day, _NOON))
        yield TimelineEntry(at=at, kind=EntryKind.RATING, words=words, is_day=True, place=place)
    for alarm in CloneAlarm.objects.filter(node__school=school)[:most]:
        words = gettext("clone alarm: %(sign)s") % {"sign": alarm.get_sign_display()}
        yield TimelineEntry(at=alarm.at, kind=EntryKind.KEY, words=words)

"""Which answers a teacher may see and rate: one's own, those to pupils of one's classes, and those to nobody's pupils.

Guests and pupils without a class belong to no teacher alone, so any teacher may rate what they were answered. The head
sees what every pupil was answered. What a colleague asked stays the colleague's. What one has rated stays in sight when
the pupil moves to another class: it must be possible to mend it.
"""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from node.accounts import Role, has_role
from node.chat.models import Answer
from node.ratings.models import Rating


def answers_visible(teacher: User) -> QuerySet[Answer]:
    """Return the answers that `teacher` may rate, each with its turn."""
    pupils = User.objects.filter(groups__name=Role.PUPIL.value)
    if not has_role(teacher, Role.HEAD):
        pupils = pupils.filter(Q(pupil=None) | Q(pupil__school_class__teachers=teacher))
    askers = Q(turn__conversation__person=None) | Q(turn__conversation__person=teacher.pk)
    askers |= Q(turn__conversation__person__in=pupils.values("pk"))
    askers |= Q(pk__in=Rating.objects.active().filter(teacher=teacher).values("answer_id"))
    answered = Answer.objects.filter(status__in=[Answer.Status.FINISHED, Answer.Status.STOPPED]).exclude(release="")
    return answered.filter(askers).select_related("turn")

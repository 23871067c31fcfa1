"""What each role may do. Pure.

A role is a Django group of the same name, and `permissions_of` says what the group holds. How far a role reaches, a
region or the whole country, is `reach`'s matter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """What a ministry's person is there for."""

    NATIONAL_ADMIN = "national_admin", _("national admin")
    REGIONAL_ADMIN = "regional_admin", _("regional admin")
    REVIEWER = "reviewer", _("reviewer of ratings")
    AUDITOR = "auditor", _("auditor")


STEERING = frozenset({Role.NATIONAL_ADMIN, Role.REGIONAL_ADMIN})
REVIEWING = STEERING | {Role.REVIEWER}
ACCOUNTS = frozenset({"auth.view_user", "auth.add_user", "auth.change_user"})
RATINGS = frozenset(
    {
        "feedback.change_rating",
        "feedback.view_rating",
        "feedback.view_ratingtrend",
        "feedback.view_subjectagreement",
    }
)
REGIONAL_STEERING = RATINGS | {
    "courier.add_trip",
    "feedback.change_clonealarm",
    "feedback.delete_rating",
    "rollouts.add_rollout",
    "rollouts.add_schoolfilter",
    "rollouts.change_rollout",
    "rollouts.change_schoolfilter",
    "rollouts.change_wave",
    "rollouts.delete_schoolfilter",
    "schools.add_claimcode",
    "schools.add_school",
    "schools.change_node",
    "schools.change_school",
    "training.add_optout",
    "training.change_optout",
    "training.change_update",
}


def permissions_of(role: Role, *, known: Iterable[str], national: Collection[str]) -> frozenset[str]:
    """Return which of the centre's `known` permissions (`app.verb_model`), and of those on accounts, the role holds.

    `national` are the permissions to view what belongs to no region and is not for everyone.
    """
    everything = frozenset(known)
    views = frozenset(name for name in everything - ACCOUNTS if name.partition(".")[2].startswith("view_"))
    held = {
        Role.NATIONAL_ADMIN: everything | ACCOUNTS,
        Role.REGIONAL_ADMIN: (views - frozenset(national)) | REGIONAL_STEERING,
        Role.REVIEWER: RATINGS,
        Role.AUDITOR: views | {"auth.view_user"},
    }[role]
    return held & (everything | ACCOUNTS)

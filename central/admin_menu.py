"""The admin's side menu, in the order of the journey."""

from __future__ import annotations

from typing import Any

from django.urls import reverse_lazy
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


def _entry(title: Promise, icon: str, page: str) -> dict[str, Any]:
    app, _dot, model = page.partition("_")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{page}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app}.view_{model}"),
    }


SIDEBAR: dict[str, Any] = {
    "show_search": True,
    "show_all_applications": False,
    "navigation": [
        {
            "title": _("Schools"),
            "items": [
                _entry(_("Schools"), "school", "schools_school"),
                _entry(_("School PCs"), "computer", "schools_node"),
                _entry(_("Claim codes"), "key", "schools_claimcode"),
                _entry(_("USB sticks"), "usb", "courier_trip"),
                _entry(_("Refused requests"), "block", "courier_refusedrequest"),
            ],
        },
        {
            "title": _("Teachers' voice"),
            "items": [
                _entry(_("Ratings"), "star", "feedback_rating"),
                {"title": _("Review"), "icon": "fact_check", "link": reverse_lazy("admin:feedback_rating_review")},
                _entry(_("Agreement of teachers"), "groups", "feedback_subjectagreement"),
                _entry(_("Received parcels"), "inbox", "feedback_receivedparcel"),
                _entry(_("Clone alarms"), "warning", "feedback_clonealarm")
                | {"badge": "central.feedback.admin.open_alarms"},
            ],
        },
        {
            "title": _("Learning"),
            "items": [
                _entry(_("Seasons"), "calendar_month", "training_season"),
                _entry(_("Rounds"), "sync", "training_round"),
                _entry(_("Updates"), "upload", "training_update"),
                _entry(_("Leases"), "timer", "training_lease"),
                _entry(_("Privacy ledger"), "shield_person", "training_privacycharge"),
                _entry(_("Withdrawn schools"), "person_remove", "training_optout"),
            ],
        },
        {
            "title": _("Releases"),
            "items": [
                _entry(_("Releases"), "package_2", "releases_release"),
                _entry(_("Programs"), "system_update", "programs_program"),
                _entry(_("Programs at schools"), "computer", "programs_programstanding"),
                _entry(_("Rollouts"), "rocket_launch", "rollouts_rollout"),
                _entry(_("Waves"), "waves", "rollouts_wave"),
                _entry(_("Filters of schools"), "filter_alt", "rollouts_schoolfilter"),
                _entry(_("Assignments"), "assignment", "rollouts_assignment"),
            ],
        },
        {
            "title": _("Oversight"),
            "items": [
                _entry(_("Audit"), "history", "schools_auditevent"),
                _entry(_("Users"), "person", "auth_user"),
            ],
        },
    ],
}

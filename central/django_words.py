"""Words of Django's pages and forms that its Tajik catalogue lacks; what is named here is kept in the centre's own."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _
from django.utils.translation import ngettext_lazy

WORDS = (
    _("Added {name} “{object}”."),
    _("Changed {fields} for {name} “{object}”."),
    _("Deleted {name} “{object}”."),
    _("The {name} “{obj}” was added successfully."),
    _("The {name} “{obj}” was added successfully. You may add another {name} below."),
    _("The {name} “{obj}” was changed successfully."),
    _("The {name} “{obj}” was changed successfully. You may edit it again below."),
    _("The {name} “{obj}” was changed successfully. You may add another {name} below."),
    _("The %(name)s “%(obj)s” was deleted successfully."),
    _("%(name)s with ID “%(key)s” doesn’t exist. Perhaps it was deleted?"),
    _("We’re sorry, but the requested page could not be found."),
    _("You don’t have permission to view or edit anything."),
    _("Yes, I’m sure"),
    _("This object doesn’t have a change history. It probably wasn’t added via this admin site."),
    _("The two password fields didn’t match."),
    _("Your password can’t be a commonly used password."),
    _(
        "Please enter your old password, for security’s sake, and then enter your new password twice so we "
        "can verify you typed it in correctly."
    ),
    _("Enter a valid JSON."),
    _("“%(pk)s” is not a valid value."),
    _("Reset password"),
    _("Set password"),
    _("Raw passwords are not stored, so there is no way to see the user’s password."),
    _("Select this object for an action - {}"),
    _("Breadcrumbs"),
    ngettext_lazy("entry", "entries", "counter"),
    ngettext_lazy(
        "%(counter)s result",
        "%(counter)s results",
        "counter",
    ),
    ngettext_lazy(
        "%(total_count)s selected",
        "All %(total_count)s selected",
        "total_count",
    ),
    ngettext_lazy(
        "This password is too short. It must contain at least %d character.",
        "This password is too short. It must contain at least %d characters.",
        "min_length",
    ),
    ngettext_lazy(
        "Your password must contain at least %(min_length)d character.",
        "Your password must contain at least %(min_length)d characters.",
        "min_length",
    ),
    ngettext_lazy(
        "Ensure this value has at least %(limit_value)d character (it has %(show_value)d).",
        "Ensure this value has at least %(limit_value)d characters (it has %(show_value)d).",
        "limit_value",
    ),
    ngettext_lazy(
        "Ensure this value has at most %(limit_value)d character (it has %(show_value)d).",
        "Ensure this value has at most %(limit_value)d characters (it has %(show_value)d).",
        "limit_value",
    ),
    ngettext_lazy(
        "%(size)d byte",
        "%(size)d bytes",
        "size",
    ),
)

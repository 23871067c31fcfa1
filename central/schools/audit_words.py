"""What an audit row says, in words: of what kind the thing is, and what its status or the deed means."""

from __future__ import annotations

from collections.abc import Mapping

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

_DEEDS: Mapping[str, str | Promise] = {
    "added": _("added"),
    "changed": _("changed"),
    "clone_suspected": _("perhaps two PCs with one identity"),
    "code_made": _("claim code made"),
    "code_renewed": _("claim code renewed"),
    "deleted": _("deleted"),
    "downloaded": _("downloaded"),
    "draft": _("drafted"),
    "erased": _("erased"),
    "forgotten": _("forgotten"),
    "imported": _("imported"),
    "key": _("key changed"),
    "learning": _("takes part in learning again"),
    "locked": _("locked after wrong passwords"),
    "offered": _("offered"),
    "password changed": _("password changed"),
    "saved": _("saved"),
    "withdrawn": _("withdrawn"),
}


def entity_words(entity: str) -> str:
    """Return the kind of thing in words, with what names it; as it is where the kind is none of the centre's."""
    model, rest = _model_of(entity)
    return f"{capfirst(str(model._meta.verbose_name))} {rest}".strip() if model else entity  # noqa: SLF001 - Django's


def value_words(entity: str, value: str) -> str:
    """Return what `value` means of the thing: the label of its status, or the deed; else as it is."""
    model, _rest = _model_of(entity)
    labels = _statuses(model) if model else {}
    return str(labels.get(value) or _DEEDS.get(value) or value)


def _model_of(entity: str) -> tuple[type[models.Model] | None, str]:
    label, _space, rest = entity.partition(" ")
    try:
        return apps.get_model(label), rest
    except (LookupError, ValueError):
        return None, entity


def _statuses(model: type[models.Model]) -> Mapping[str, str | Promise]:
    try:
        choices = model._meta.get_field("status").choices or ()  # type: ignore[union-attr]  # noqa: SLF001 - Django's
    except FieldDoesNotExist:
        return {}
    return dict(choices)

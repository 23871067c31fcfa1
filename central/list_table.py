"""A list page of the admin as a table of plain cells: the same columns, rows and order as the page shows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from django.contrib.admin.utils import label_for_field, lookup_field
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Field, Model
from django.utils import timezone
from django.utils.html import strip_tags
from django.utils.translation import gettext

from central.csv_stream import Cell

CHUNK = 500


def table_head(changelist: ChangeList) -> list[str]:
    """Return the titles of the columns."""
    admin = changelist.model_admin
    return [str(label_for_field(column, changelist.model, admin)) for column in columns(changelist)]


def table_rows(changelist: ChangeList) -> Iterator[list[Cell]]:
    """Yield the rows as the page would show them on one endless page, read in chunks."""
    shown = columns(changelist)
    for row in changelist.queryset.iterator(chunk_size=CHUNK):
        yield [_cell(column, row, changelist.model_admin) for column in shown]


def columns(changelist: ChangeList) -> list[Any]:
    """Return the columns of the page, without the one for choosing rows."""
    return [column for column in changelist.list_display if column != "action_checkbox"]


def _cell(column: Any, row: Model, admin: Any) -> Cell:  # noqa: ANN401 - a name or a callable
    try:
        field, _attribute, value = lookup_field(column, row, admin)
    except ObjectDoesNotExist:
        return ""
    if isinstance(field, Field):
        if field.remote_field:
            value = getattr(row, field.name)
        elif field.flatchoices:
            value = dict(field.flatchoices).get(value, value)
    return _plain(value)


def _plain(value: object) -> Cell:
    if value is None:
        return ""
    if isinstance(value, bool):
        return gettext("Yes") if value else gettext("No")
    if isinstance(value, int | float):
        return value
    if isinstance(value, datetime):
        local = timezone.localtime(value) if timezone.is_aware(value) else value
        return local.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    return strip_tags(str(value)) if hasattr(value, "__html__") else str(value)

"""Has the database itself refuse changes and removals of rows that may only be added.

A program with a mistake, or a person with a database shell, is stopped; whoever may drop triggers is not, and is found
by the hash chain. Triggers are put in place after every migration, because SQLite drops those of a table that a
migration rebuilds.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.db import connections

from central.schools.groups import centre_apps
from central.schools.models_audit import AppendOnly

_POSTGRESQL_FUNCTION = """
CREATE OR REPLACE FUNCTION append_only_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'rows of % are only added', TG_TABLE_NAME; END $$
"""
_POSTGRESQL = """
CREATE OR REPLACE TRIGGER append_only_{verb} BEFORE {verb} ON "{table}"
FOR EACH {each} EXECUTE FUNCTION append_only_refuse()
"""
_SQLITE = """
CREATE TRIGGER IF NOT EXISTS "{table}_append_only_{verb}" BEFORE {verb} ON "{table}"
BEGIN SELECT RAISE(ABORT, 'rows of {table} are only added'); END
"""


def tables() -> list[str]:
    """Return the tables whose rows may only be added."""
    return [model._meta.db_table for model in apps.get_models() if issubclass(model, AppendOnly)]  # noqa: SLF001


def triggers_keep(sender: AppConfig, using: str, **_options: Any) -> None:  # noqa: ANN401 - a signal's arguments
    """Leave the triggers in place; called once the last app of the centre has its tables."""
    if sender.label != centre_apps()[-1]:
        return
    connection = connections[using]
    present = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_POSTGRESQL_FUNCTION)
        for table in sorted(present.intersection(tables())):
            for statement in statements(connection.vendor, table):
                cursor.execute(statement)


def statements(vendor: str, table: str) -> list[str]:
    """Return what guards one table."""
    if vendor != "postgresql":
        return [_SQLITE.format(table=table, verb=verb) for verb in ("update", "delete")]
    verbs = (("update", "ROW"), ("delete", "ROW"), ("truncate", "STATEMENT"))
    return [_POSTGRESQL.format(table=table, verb=verb, each=each) for verb, each in verbs]

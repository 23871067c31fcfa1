"""Has the database itself draw a new `FactsVersion` whenever a row of a `SharedFact` changes, whoever changes it.

Drawn, not counted: after a roll-back or a restored backup no other state of the tables ever has the same number. On
PostgreSQL it is drawn as the transaction commits, so that the one row is locked for no longer than that.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.db import connections

from central.schools.groups import centre_apps
from central.schools.models_facts import FactsVersion, SharedFact

CONSTRAINT = "facts_version"
_DRAWN_BY = {"postgresql": "(random() * 9e18)::bigint", "sqlite": "random()"}
_POSTGRESQL_FUNCTION = """
CREATE OR REPLACE FUNCTION facts_version_draw() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN UPDATE "{facts}" SET number = {drawn}; RETURN NULL; END $$
"""
_POSTGRESQL = """
CREATE CONSTRAINT TRIGGER {name} AFTER INSERT OR DELETE OR {update} ON "{table}" DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION facts_version_draw()
"""
_SQLITE = """
CREATE TRIGGER "{table}_{name}_{verb}" AFTER {event} ON "{table}"
BEGIN UPDATE "{facts}" SET number = {drawn}; END
"""


def facts_tables() -> dict[str, tuple[str, ...]]:
    """Return the tables that count, each with the columns whose change does; none: all of them."""
    found: dict[str, tuple[str, ...]] = {}
    for model in apps.get_models():
        if issubclass(model, SharedFact):
            meta = model._meta  # noqa: SLF001 - Django documents it
            columns = {field.name: field.column for field in meta.concrete_fields}
            found[meta.db_table] = tuple(str(columns[name]) for name in model.FACT_FIELDS)
            found |= {field.m2m_db_table(): () for field in meta.local_many_to_many}
    return found


def facts_triggers_keep(sender: AppConfig, using: str, **_options: Any) -> None:  # noqa: ANN401 - a signal's arguments
    """Leave the row and the triggers in place; called once the last app of the centre has its tables."""
    if sender.label != centre_apps()[-1]:
        return
    connection = connections[using]
    present = set(connection.introspection.table_names())
    if FactsVersion._meta.db_table not in present:  # noqa: SLF001 - Django documents it
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            drawn, facts = _DRAWN_BY[connection.vendor], FactsVersion._meta.db_table  # noqa: SLF001 - as above
            cursor.execute(_POSTGRESQL_FUNCTION.format(drawn=drawn, facts=facts))
        for table, columns in sorted(facts_tables().items()):
            if table in present:
                for statement in _statements(connection.vendor, table, columns):
                    cursor.execute(statement)
    FactsVersion.objects.using(using).get_or_create(pk=1)


def _statements(vendor: str, table: str, columns: tuple[str, ...]) -> list[str]:
    update = "UPDATE OF " + ", ".join(f'"{column}"' for column in columns) if columns else "UPDATE"
    if vendor == "postgresql":
        return [
            f'DROP TRIGGER IF EXISTS {CONSTRAINT} ON "{table}"',
            _POSTGRESQL.format(name=CONSTRAINT, table=table, update=update),
        ]
    facts = FactsVersion._meta.db_table  # noqa: SLF001 - as above
    statements = []
    for verb, event in (("insert", "INSERT"), ("update", update), ("delete", "DELETE")):
        named = {"name": CONSTRAINT, "table": table, "verb": verb}
        statements.append('DROP TRIGGER IF EXISTS "{table}_{name}_{verb}"'.format(**named))
        statements.append(_SQLITE.format(**named, event=event, facts=facts, drawn=_DRAWN_BY["sqlite"]))
    return statements

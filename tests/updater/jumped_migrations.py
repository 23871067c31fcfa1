"""A school's database at each state that a program may have shipped, brought to the present one in a single jump.

One database goes through the migrations one by one; after each of the node's own, a copy of it jumps to the end. A
copy has a teacher, a question and its answer, as soon as there are tables for them. Prints a line of JSON for each.
"""

# ruff: noqa: PLC0415 - the node is imported once its settings are known
from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OWN = ("installed", "outbox", "people", "textbooks", "chat", "ratings", "rounds", "sync", "stick")
NOW = datetime(2026, 11, 26, tzinfo=UTC)
KEPT = [f"SELECT count(*) FROM {table}" for table in ("auth_user", "chat_turn", "chat_answer")]  # noqa: S608


def _main(scratch: Path) -> None:
    from django.db import connection

    walked = scratch / "walked.sqlite3"
    executor = _executor(walked)
    plan = [(each.app_label, each.name) for each, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    for number, node in enumerate(plan):
        _executor(walked).migrate([node])
        if node[0] in OWN:
            # What is still in the write-ahead log is no part of the file.
            connection.close()
            copy = scratch / f"{number}.sqlite3"
            shutil.copy(walked, copy)
            executor = _executor(copy)
            had = _rows_make(executor.loader.project_state(plan[: number + 1]).apps)
            line = {"from": ".".join(node), "had": had, **_jump(copy)}
            sys.stdout.write(json.dumps(line) + "\n")


def _executor(path: Path) -> Any:
    """Return what migrates the database at `path`, which this process uses from now on."""
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    connection.close()
    connection.settings_dict["NAME"] = str(path)
    return MigrationExecutor(connection)


def _rows_make(apps: Any) -> list[int]:
    """Leave rows in what tables there are, and return what KEPT will count."""
    apps.get_model("auth", "User").objects.create(username="munira")
    if ("chat", "answer") not in {(model._meta.app_label, model._meta.model_name) for model in apps.get_models()}:
        return [1, 0, 0]
    conversation = apps.get_model("chat", "Conversation").objects.create(session_key="guest", started_at=NOW)
    turn = apps.get_model("chat", "Turn").objects.create(conversation=conversation, question="?", asked_at=NOW)
    told = {"status": "finished", "release": "c" * 64, "release_version": 1, "finished_at": NOW}
    apps.get_model("chat", "Answer").objects.create(turn=turn, text="!", **told)
    return [1, 1, 1]


def _jump(path: Path) -> dict[str, Any]:
    """Bring the database to the present tables, as one start of the present program does; return what is there."""
    from django.db import connection

    executor = _executor(path)
    executor.migrate(executor.loader.graph.leaf_nodes())
    executor = _executor(path)
    with connection.cursor() as cursor:
        describe = connection.introspection.get_table_description
        tables = connection.introspection.table_names(cursor)
        columns = {table: sorted(column.name for column in describe(cursor, table)) for table in sorted(tables)}
        kept = [cursor.execute(count).fetchone()[0] for count in KEPT]
        broken = len(cursor.execute("PRAGMA foreign_key_check").fetchall())
    left = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    return {"columns": columns, "kept": kept, "broken": broken, "left": left}


if __name__ == "__main__":
    import django

    django.setup()
    _main(Path(sys.argv[1]))

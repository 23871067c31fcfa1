"""How a newer program differs from this tree's: files by their place in it."""

from __future__ import annotations

from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
MIGRATION = b'''"""A table that the older program knows nothing of."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("chat", "0006_answer_device")]
    operations = [migrations.RunSQL("CREATE TABLE chat_newer (id integer primary key)", migrations.RunSQL.noop)]
'''
NEWER_TABLE = {"node/chat/migrations/0007_newer.py": MIGRATION}
BROKEN_MIGRATION = {"node/chat/migrations/0007_newer.py": MIGRATION.replace(b"CREATE TABLE", b"CREATE TROUBLE")}
BROKEN_PAGE = {"node/asgi.py": b"raise RuntimeError('no page')\n"}
_RUN = "node/management/commands/run.py"
# It serves in the rehearsal, where nobody runs the whole node, and not in the school's hands.
_BROKEN = (TREE / _RUN).read_bytes().replace(b"        answers_abandon(", b"        1 / 0\n        answers_abandon(")
BROKEN_RUN = {_RUN: _BROKEN}

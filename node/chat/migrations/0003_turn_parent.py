"""Turns name the one that they follow: until now each followed the one asked before it."""

import django.db.models.deletion
from django.db import migrations, models


def parents_name(apps, schema_editor):
    Turn = apps.get_model("chat", "Turn")
    conversation_id, before = None, None
    turns = Turn.objects.order_by("conversation_id", "asked_at").values_list("pk", "conversation_id")
    for pk, its_conversation_id in list(turns):
        if its_conversation_id == conversation_id:
            Turn.objects.filter(pk=pk).update(parent_id=before)
        conversation_id, before = its_conversation_id, pk


class Migration(migrations.Migration):
    dependencies = [("chat", "0002_api_keys")]

    operations = [
        migrations.AddField(
            model_name="turn",
            name="parent",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="children",
                to="chat.turn",
            ),
        ),
        migrations.RunPython(parents_name, migrations.RunPython.noop),
    ]

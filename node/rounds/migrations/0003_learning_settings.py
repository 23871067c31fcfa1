import datetime

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rounds", "0002_plan_season_and_start"),
    ]

    operations = [
        migrations.CreateModel(
            name="LearningSettings",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("is_only", models.BooleanField(default=True, unique=True)),
                ("opens_at", models.TimeField(default=datetime.time(17, 0))),
                ("closes_at", models.TimeField(default=datetime.time(7, 0))),
                ("idle_minutes", models.PositiveIntegerField(default=120, null=True)),
                ("stopped_at", models.DateTimeField(null=True)),
                ("stopped_by", models.CharField(blank=True, max_length=150)),
                ("stop_reason", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("is_only", True)), name="rounds_learning_one_row")
                ],
            },
        ),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):
    """Plans of a program before seasons keep an empty season: nobody collects for them any more."""

    dependencies = [
        ("rounds", "0001_initial"),
    ]

    operations = [
        migrations.AddField("plan", "season_id", models.CharField(blank=True, default="", max_length=64), preserve_default=False),
        migrations.AddField("plan", "start", models.CharField(blank=True, default="", max_length=64), preserve_default=False),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rounds", "0003_learning_settings"),
    ]

    operations = [
        migrations.AddField(
            model_name="localupdate",
            name="release_version",
            field=models.PositiveIntegerField(default=0),
        ),
    ]

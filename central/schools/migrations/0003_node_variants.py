"""A node says in which form each base lies on its disk."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('schools', '0002_keys_and_districts'),
    ]

    operations = [
        migrations.AddField(
            model_name='node',
            name='variants',
            field=models.JSONField(blank=True, default=dict, verbose_name='variants of bases on its disk'),
        ),
    ]

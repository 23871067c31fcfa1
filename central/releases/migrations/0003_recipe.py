"""How a base's package is made; releases made before have the usual recipe."""

from django.db import migrations, models

import central.releases.models


class Migration(migrations.Migration):

    dependencies = [
        ('releases', '0002_verdict_bytes'),
    ]

    operations = [
        migrations.AddField(
            model_name='release',
            name='recipe',
            field=models.JSONField(blank=True, default=dict, help_text='How the package is made: languages, quantisation, max_increase, max_bytes; empty: as usual.', validators=[central.releases.models.recipe_check], verbose_name='recipe'),
        ),
    ]

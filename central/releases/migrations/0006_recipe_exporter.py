"""A recipe's help names the exporters too; no column changes."""

from django.db import migrations, models

import central.releases.models


class Migration(migrations.Migration):

    dependencies = [
        ('releases', '0005_release_variants'),
    ]

    operations = [
        migrations.AlterField(
            model_name='release',
            name='recipe',
            field=models.JSONField(blank=True, default=dict, help_text='How the package is made: languages, quantisation (int8, int4, mixed; for a GPU fp16, fp8), max_increase, max_bytes, further (a list of quantisations: variants for PCs that can carry them), exporter (builder, optimum); empty: as usual.', validators=[central.releases.models.recipe_check], verbose_name='recipe'),
        ),
    ]

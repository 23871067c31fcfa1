"""A base may come in several forms; each file then belongs to one of them."""

import central.releases.models
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('releases', '0004_recipe_floats'),
    ]

    operations = [
        migrations.CreateModel(
            name='ReleaseVariant',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('place', models.PositiveSmallIntegerField(verbose_name='place')),
                ('name', models.CharField(max_length=20, verbose_name='name')),
                ('size_bytes', models.BigIntegerField(verbose_name='size, bytes')),
                ('memory_bytes', models.BigIntegerField(verbose_name='memory that a PC must have, bytes')),
                ('gpu_memory_bytes', models.BigIntegerField(verbose_name='memory that its GPU must have, bytes')),
                ('card', models.JSONField(blank=True, default=dict, verbose_name='card')),
            ],
            options={
                'verbose_name': 'variant',
                'verbose_name_plural': 'variants',
                'ordering': ('place',),
            },
        ),
        migrations.AlterModelOptions(
            name='releasefile',
            options={'ordering': ('variant', 'path'), 'verbose_name': 'file', 'verbose_name_plural': 'files'},
        ),
        migrations.RemoveConstraint(
            model_name='releasefile',
            name='release_path_unique',
        ),
        migrations.AddField(
            model_name='releasefile',
            name='variant',
            field=models.CharField(blank=True, max_length=20, verbose_name='variant'),
        ),
        migrations.AlterField(
            model_name='release',
            name='recipe',
            field=models.JSONField(blank=True, default=dict, help_text='How the package is made: languages, quantisation (int8, int4, mixed; for a GPU fp16, fp8), max_increase, max_bytes, further (a list of quantisations: variants for PCs that can carry them); empty: as usual.', validators=[central.releases.models.recipe_check], verbose_name='recipe'),
        ),
        migrations.AddConstraint(
            model_name='releasefile',
            constraint=models.UniqueConstraint(fields=('release', 'variant', 'path'), name='release_path_unique'),
        ),
        migrations.AddField(
            model_name='releasevariant',
            name='release',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='variants', to='releases.release', verbose_name='release'),
        ),
        migrations.AddConstraint(
            model_name='releasevariant',
            constraint=models.UniqueConstraint(fields=('release', 'name'), name='release_variant_name_unique'),
        ),
        migrations.AddConstraint(
            model_name='releasevariant',
            constraint=models.UniqueConstraint(fields=('release', 'place'), name='release_variant_place_unique'),
        ),
        migrations.AddConstraint(
            model_name='releasevariant',
            constraint=models.CheckConstraint(condition=models.Q(('place__gt', 0), models.Q(('gpu_memory_bytes', 0), ('memory_bytes', 0)), _connector='OR'), name='release_first_variant_for_all'),
        ),
    ]

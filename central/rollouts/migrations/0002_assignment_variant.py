"""The director names the form of a base too."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rollouts', '0001_rollouts'),
    ]

    operations = [
        migrations.AddField(
            model_name='assignment',
            name='variant',
            field=models.CharField(blank=True, max_length=20, verbose_name='variant'),
        ),
        migrations.AddField(
            model_name='directive',
            name='variant',
            field=models.CharField(blank=True, max_length=20, verbose_name='variant'),
        ),
    ]

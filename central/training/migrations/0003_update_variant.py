"""An update says on which form of its base it was learnt."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('training', '0002_round_sign_of_life'),
    ]

    operations = [
        migrations.AddField(
            model_name='update',
            name='variant',
            field=models.CharField(blank=True, max_length=20, verbose_name='variant'),
        ),
    ]

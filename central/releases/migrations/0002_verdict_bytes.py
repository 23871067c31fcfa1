"""The gate's verdict on a release, as the bytes that are signed; releases judged before have none."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('releases', '0001_releases'),
    ]

    operations = [
        migrations.AddField(
            model_name='release',
            name='verdict_bytes',
            field=models.BinaryField(editable=False, null=True, verbose_name='verdict'),
        ),
    ]

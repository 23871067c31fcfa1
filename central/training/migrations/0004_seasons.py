"""Seasons, the plans for each of their starts, the Flower runs of a round, and whom a plan has reached; rows follow."""

import django.db.models.deletion
from django.db import migrations, models

_ID = ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID'))


class Migration(migrations.Migration):

    dependencies = [
        ('releases', '0006_recipe_exporter'),
        ('schools', '0005_checkin_number'),
        ('training', '0003_update_variant'),
    ]

    operations = [
        migrations.CreateModel(
            name='Season',
            fields=[
                _ID,
                ('season_id', models.CharField(max_length=64, unique=True, verbose_name='season')),
                ('status', models.CharField(choices=[('open', 'open'), ('closed', 'closed')], default='open', max_length=16, verbose_name='status')),
                ('scheme', models.CharField(choices=[('ffa-lora', 'FFA-LoRA'), ('fed-sb', 'Fed-SB'), ('fedit', 'FedIT'), ('flora', 'FLoRA')], default='ffa-lora', max_length=16, verbose_name='scheme')),
                ('mode', models.CharField(choices=[('plain', 'plain'), ('robust', 'robust'), ('private', 'private')], default='plain', max_length=16, verbose_name='mode')),
                ('settings', models.JSONField(default=dict, editable=False, verbose_name='settings')),
                ('mode_settings', models.JSONField(blank=True, default=dict, verbose_name='settings of the mode')),
                ('slot_sizes', models.JSONField(default=list, editable=False, verbose_name='sizes of slots')),
                ('wanted', models.PositiveIntegerField(default=10, verbose_name='updates wanted a round')),
                ('opened_by', models.CharField(max_length=150, verbose_name='opened by')),
                ('opened_at', models.DateTimeField(verbose_name='opened')),
                ('closed_at', models.DateTimeField(blank=True, null=True, verbose_name='closed')),
                ('why_closed', models.CharField(blank=True, max_length=200, verbose_name='why it was closed')),
                ('base', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='seasons', to='releases.release', verbose_name='base')),
            ],
            options={
                'verbose_name': 'season',
                'verbose_name_plural': 'seasons',
                'ordering': ('-id',),
                'constraints': [
                    models.UniqueConstraint(condition=models.Q(('status', 'open')), fields=('base',), name='season_one_open_per_base'),
                    models.CheckConstraint(condition=models.Q(('status__in', ['open', 'closed'])), name='season_status_known'),
                    models.CheckConstraint(condition=models.Q(('mode__in', ['plain', 'robust', 'private'])), name='season_mode_known'),
                    models.CheckConstraint(condition=models.Q(('scheme__in', ['ffa-lora', 'fed-sb', 'fedit', 'flora'])), name='season_scheme_known'),
                    models.CheckConstraint(condition=models.Q(models.Q(('closed_at', None), ('status', 'open')), models.Q(('closed_at__isnull', False), ('status', 'closed')), _connector='OR'), name='season_closed_has_time'),
                    models.CheckConstraint(condition=models.Q(('wanted__gte', 1)), name='season_wants_some'),
                ],
            },
        ),
        migrations.CreateModel(
            name='Plan',
            fields=[
                _ID,
                ('plan_id', models.CharField(max_length=64, unique=True, verbose_name='plan')),
                ('version', models.PositiveIntegerField(default=0, verbose_name='version of the start')),
                ('envelope', models.BinaryField()),
                ('issued_at', models.DateTimeField(verbose_name='issued')),
                ('closes_at', models.DateTimeField(verbose_name='begun no later than')),
                ('season', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='plans', to='training.season', verbose_name='season')),
                ('start', models.ForeignKey(blank=True, help_text='The adapter that training starts from; none: the base alone.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='plans', to='releases.release', verbose_name='start')),
            ],
            options={
                'verbose_name': 'plan',
                'verbose_name_plural': 'plans',
                'ordering': ('-id',),
                'constraints': [
                    models.CheckConstraint(condition=models.Q(models.Q(('start', None), ('version', 0)), models.Q(('start__isnull', False), ('version__gte', 1)), _connector='OR'), name='plan_version_is_of_start'),
                ],
            },
        ),
        migrations.CreateModel(
            name='FlowerRun',
            fields=[
                _ID,
                ('superlink', models.CharField(blank=True, max_length=64, verbose_name='SuperLink')),
                ('flwr_run_id', models.CharField(max_length=20, verbose_name='Flower run')),
                ('round', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='training.round', verbose_name='round')),
            ],
            options={
                'verbose_name': 'Flower run',
                'verbose_name_plural': 'Flower runs',
                'ordering': ('round', 'superlink'),
                'constraints': [models.UniqueConstraint(fields=('round', 'superlink'), name='run_one_per_superlink')],
            },
        ),
        migrations.CreateModel(
            name='Offer',
            fields=[
                _ID,
                ('offered_at', models.DateTimeField(verbose_name='offered')),
                ('trained_at', models.DateTimeField(blank=True, null=True, verbose_name='heard that it was learnt')),
                ('node', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='offers', to='schools.node', verbose_name='school PC')),
                ('plan', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='offers', to='training.plan', verbose_name='plan')),
            ],
            options={
                'verbose_name': 'offer',
                'verbose_name_plural': 'offers',
                'constraints': [models.UniqueConstraint(fields=('plan', 'node'), name='offer_once')],
            },
        ),
        # A round keeps its name, by which its folder in the inbox is called.
        migrations.RenameField(model_name='round', old_name='plan_id', new_name='round_id'),
        migrations.AlterField(
            model_name='round', name='round_id', field=models.CharField(max_length=64, unique=True, verbose_name='round')
        ),
        migrations.AddField(
            model_name='round',
            name='season',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='rounds', to='training.season', verbose_name='season'),
        ),
        migrations.AddField(
            model_name='round', name='number', field=models.PositiveIntegerField(default=1, verbose_name='number')
        ),
        migrations.AddField(
            model_name='round',
            name='version',
            field=models.PositiveIntegerField(blank=True, help_text='The how-many-th adapter of the season its release is; none until that is signed.', null=True, verbose_name='version'),
        ),
        migrations.AddField(
            model_name='update',
            name='plan',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='updates', to='training.plan', verbose_name='plan'),
        ),
        migrations.AddField(
            model_name='update', name='staleness', field=models.PositiveIntegerField(default=0, verbose_name='staleness')
        ),
        migrations.AddField(
            model_name='update',
            name='scores',
            field=models.JSONField(blank=True, null=True, verbose_name='scores on held-out labels'),
        ),
        migrations.AddField(
            model_name='update',
            name='figures',
            field=models.JSONField(blank=True, default=dict, verbose_name='figures'),
        ),
        migrations.AddField(
            model_name='lease',
            name='superlink',
            field=models.CharField(blank=True, max_length=64, verbose_name='SuperLink'),
        ),
    ]

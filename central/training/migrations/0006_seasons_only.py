"""What a round had of its plan is its season's; what an update may become, and what counts it, is said by the tables."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('training', '0005_seasons_carry'),
    ]

    operations = [
        migrations.RemoveConstraint(model_name='round', name='round_one_collecting_per_base'),
        migrations.RemoveField(model_name='round', name='base'),
        migrations.RemoveField(model_name='round', name='plan_envelope'),
        migrations.RemoveField(model_name='round', name='slot_columns'),
        migrations.RemoveField(model_name='round', name='server_scale'),
        migrations.RemoveField(model_name='round', name='flwr_run_id'),
        migrations.AlterField(
            model_name='round',
            name='season',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='rounds', to='training.season', verbose_name='season'),
        ),
        migrations.AlterField(
            model_name='round', name='number', field=models.PositiveIntegerField(verbose_name='number')
        ),
        migrations.AddConstraint(
            model_name='round',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'collecting')), fields=('season',), name='round_one_collecting_per_season'),
        ),
        migrations.AddConstraint(
            model_name='round',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'aggregating')), fields=('season',), name='round_one_aggregating_per_season'),
        ),
        migrations.AddConstraint(
            model_name='round',
            constraint=models.UniqueConstraint(fields=('season', 'number'), name='round_number_unique'),
        ),
        migrations.AddConstraint(
            model_name='round',
            constraint=models.UniqueConstraint(fields=('season', 'version'), name='round_version_unique'),
        ),
        migrations.AddConstraint(
            model_name='round',
            constraint=models.CheckConstraint(condition=models.Q(('version', None), ('status', 'completed'), _connector='OR'), name='round_version_only_if_completed'),
        ),
        migrations.RemoveConstraint(model_name='update', name='update_once_per_digest'),
        migrations.RemoveConstraint(model_name='update', name='update_one_accepted_per_node'),
        migrations.RemoveConstraint(model_name='update', name='update_refused_has_code'),
        migrations.AlterField(
            model_name='update',
            name='plan',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='updates', to='training.plan', verbose_name='plan'),
        ),
        migrations.AlterField(
            model_name='update',
            name='round',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='updates', to='training.round', verbose_name='round'),
        ),
        migrations.AlterField(
            model_name='update',
            name='status',
            field=models.CharField(choices=[('accepted', 'accepted'), ('refused', 'refused'), ('quarantined', 'quarantined'), ('withdrawn', 'withdrawn')], max_length=16, verbose_name='status'),
        ),
        migrations.AddConstraint(
            model_name='update',
            constraint=models.UniqueConstraint(fields=('plan', 'node', 'digest'), name='update_once_per_digest'),
        ),
        migrations.AddConstraint(
            model_name='update',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ['accepted', 'quarantined', 'withdrawn'])), fields=('plan', 'node'), name='update_one_kept_per_plan'),
        ),
        migrations.AddConstraint(
            model_name='update',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['accepted', 'refused', 'quarantined', 'withdrawn'])), name='update_status_known'),
        ),
        migrations.AddConstraint(
            model_name='update',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('code', ''), ('status', 'accepted')), models.Q(models.Q(('status', 'accepted'), _negated=True), models.Q(('code', ''), _negated=True)), _connector='OR'), name='update_set_aside_has_code'),
        ),
        migrations.AddConstraint(
            model_name='update',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'accepted'), _negated=True), ('round__isnull', False), _connector='OR'), name='update_accepted_is_counted'),
        ),
    ]

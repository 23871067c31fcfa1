"""Each round so far becomes a season of its own, with its one plan; what it has collected and made stays.

A plan of before seasons cannot be answered by a node of today, and an update to it cannot be read: such a round, if it
had not ended, is abandoned, and its schools are asked anew by the season that is opened next.
"""

import base64
import json

from django.db import migrations
from django.db.migrations.exceptions import IrreversibleError
from django.utils import timezone

REASON = 'plan_outdated'


def carry(apps, _schema_editor):
    for round_ in apps.get_model('training', 'Round').objects.order_by('pk'):
        is_current = 'season_id' in _plan(round_)
        if not is_current and round_.status in ('collecting', 'aggregating'):
            _abandon(apps, round_)
        _carry(apps, round_)


def _plan(round_):
    return json.loads(base64.b64decode(json.loads(bytes(round_.plan_envelope))['payload']))


def _abandon(apps, round_):
    now = timezone.now()
    apps.get_model('schools', 'AuditEvent').objects.create(
        actor='centre', entity=f'training.round {round_.pk}', old=round_.status, new='abandoned', reason=REASON, at=now
    )
    round_.status, round_.ended_at, round_.why_ended = 'abandoned', now, REASON


def _carry(apps, round_):
    is_open = round_.status == 'collecting'
    season = apps.get_model('training', 'Season').objects.create(
        season_id=round_.round_id,
        base=round_.base,
        status='open' if is_open else 'closed',
        settings={**_terms(_plan(round_)), 'server_scale': round_.server_scale, 'minimum': round_.minimum},
        slot_sizes=_sizes(round_),
        wanted=round_.wanted,
        opened_by=round_.opened_by,
        opened_at=round_.opened_at,
        closed_at=None if is_open else round_.ended_at or timezone.now(),
        why_closed='' if is_open else round_.why_ended,
    )
    plan = apps.get_model('training', 'Plan').objects.create(
        plan_id=round_.round_id,
        season=season,
        envelope=round_.plan_envelope,
        issued_at=round_.opened_at,
        closes_at=round_.closes_at,
    )
    apps.get_model('training', 'Update').objects.filter(round=round_).update(plan=plan)
    if round_.status == 'completed' and round_.release.status in ('ready', 'deprecated', 'revoked'):
        round_.version = 1
    if is_open and round_.flwr_run_id:
        apps.get_model('training', 'FlowerRun').objects.create(round=round_, flwr_run_id=round_.flwr_run_id)
    round_.season = season
    round_.save()


def _sizes(round_):
    """Return name, d_in and d_out of each slot, in the order of the base's card."""
    return [[slot['name'], slot['d_in'], slot['d_out']] for slot in round_.base.card.get('slots', ())]


def _terms(plan):
    """Return what the plan says of its terms, as the season's settings; the rest keeps its usual value."""
    names = ('rank', 'learning_rate', 'max_steps', 'stop_loss', 'min_labels', 'max_labels', 'max_norm')
    parts = dict.fromkeys(slot.rpartition('.')[2] for slot in plan['slots'])
    return {**{name: plan[name] for name in names}, 'parts': list(parts)}


def expect_none(apps, _schema_editor):
    if apps.get_model('training', 'Season').objects.exists():
        raise IrreversibleError('seasons cannot become rounds of before seasons; restore the backup instead')


class Migration(migrations.Migration):

    dependencies = [
        ('training', '0004_seasons'),
    ]

    operations = [
        migrations.RunPython(carry, expect_none),
    ]

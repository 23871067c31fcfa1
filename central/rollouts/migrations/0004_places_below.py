"""Rollouts from before bounds were frozen had cumulative shares, which are bounds already; kinds follow the release."""

from typing import Any

from django.db import migrations
from django.db.models import F


def bounds_and_kinds_fill(apps: Any, _schema_editor: Any) -> None:  # noqa: ANN401 - Django's signature
    """Give each wave its bound and each rollout its kind."""
    apps.get_model("rollouts", "Wave").objects.update(place_below=F("percent"))
    apps.get_model("rollouts", "Rollout").objects.filter(release__kind="base").update(kind="base")


class Migration(migrations.Migration):
    dependencies = [("rollouts", "0003_targets_terms_and_gates")]
    operations = [migrations.RunPython(bounds_and_kinds_fill, migrations.RunPython.noop)]

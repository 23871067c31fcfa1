"""Whom a rollout touches: somebody bound to a region sees those that touch it, and steers those that touch no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models import Q

from central.rollouts.targeting import Target
from federation.wire.canonical import from_plain


class TouchesRegions(models.Model):
    """A rollout as far as regions go: by its parts at schools, the schools that its waves name, and its shares."""

    objects: Any
    marks: Any  # the rollout declares its own

    class Meta:
        abstract = True

    @classmethod
    def in_region(cls, region: str) -> Q:
        """Return which rollouts have, or would have, a part in the region."""
        has_part = _parts().filter(node__school__region=region).values("rollout")
        is_named = _named().filter(school__region=region).values("wave__rollout")
        by_share = [pk for pk, regions in cls._by_share(cls.objects.all()) if not regions or region in regions]
        return Q(pk__in=has_part) | Q(pk__in=is_named) | Q(pk__in=by_share)

    @classmethod
    def reaches_beyond(cls, pks: Sequence[object], region: str) -> bool:
        """Tell whether one of the rollouts has, or would have, a part in another region too."""
        chosen = cls.objects.filter(pk__in=pks)
        if any(regions != (region,) for _pk, regions in cls._by_share(chosen)):
            return True
        if _parts().filter(rollout__in=pks).exclude(node__school__region=region).exists():
            return True
        # A wave that names schools brings the release to those of them alone that have the target's marks.
        open_to_others = [pk for pk, marks in chosen.values_list("pk", "marks") if _regions(marks) != (region,)]
        return _named().filter(wave__rollout__in=open_to_others).exclude(school__region=region).exists()

    @classmethod
    def _by_share(cls, rollouts: models.QuerySet[Any]) -> list[tuple[object, tuple[str, ...]]]:
        """Return those that go by a share or a number of PCs, each with the regions of its target; empty for all."""
        waves = apps.get_model("rollouts", "Wave")._base_manager  # noqa: SLF001 - Django documents it
        shares = waves.filter(Q(percent__gt=0) | Q(count__gt=0)).values("rollout")
        return [(pk, _regions(marks)) for pk, marks in rollouts.filter(pk__in=shares).values_list("pk", "marks")]


def _parts() -> models.Manager[Any]:
    return apps.get_model("rollouts", "Assignment")._base_manager  # noqa: SLF001 - Django documents it


def _named() -> models.Manager[Any]:
    # The table between waves and the schools that they name, which Django makes.
    between: Any = apps.get_model("rollouts", "Wave").schools.through
    rows: models.Manager[Any] = between._base_manager  # noqa: SLF001 - Django documents it
    return rows


def _regions(marks: object) -> tuple[str, ...]:
    return from_plain(Target, marks).regions

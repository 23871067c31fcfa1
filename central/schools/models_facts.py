"""The number by which processes know that what all schools share has changed."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class SharedFact(models.Model):
    """Rows of which a check-in needs what they say for all schools; read once, and again when one has changed."""

    FACT_FIELDS: ClassVar[tuple[str, ...]] = ()
    """Fields whose change counts; empty: all."""

    class Meta:
        abstract = True


class FactsVersion(models.Model):
    """One row, whose number is drawn anew with every commit that changes shared facts."""

    number = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.number)

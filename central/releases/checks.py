"""What Django's system checks say of releases when any command begins, `central run` before all."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks
from django.utils import translation

from central.releases.evaluation_set import suites_read
from central.words import sentence
from federation.inference.errors import SuiteInvalid

SUITE_ID = "releases.W001"


@checks.register()
def suites_check(**_options: Any) -> list[checks.CheckMessage]:  # noqa: ANN401 - Django's signature
    """Return a warning that names file and line where the gate cannot use the suites; the centre starts anyway."""
    try:
        suites_read(extra=settings.SUITES)
    except SuiteInvalid as error:
        with translation.override("en"):
            return [checks.Warning(sentence(error.code, error.fields), id=SUITE_ID)]
    return []

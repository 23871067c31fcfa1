"""What Django's system checks say of releases when any command begins, `central run` before all."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks
from django.utils import timezone, translation

from central.disk import centre_disk
from central.releases.evaluation_set import suites_read
from central.releases.metadata_alarm import alarms_read, misplaced_keys
from central.words import sentence
from federation.inference.errors import SuiteInvalid

SUITE_ID = "releases.W001"
METADATA_ID = "releases.W002"
MISPLACED_ID = "releases.W003"


@checks.register()
def suites_check(**_options: Any) -> list[checks.CheckMessage]:  # noqa: ANN401 - Django's signature
    """Return a warning that names file and line where the gate cannot use the suites; the centre starts anyway."""
    try:
        suites_read(extra=settings.SUITES)
    except SuiteInvalid as error:
        with translation.override("en"):
            return [checks.Warning(sentence(error.code, error.fields), id=SUITE_ID)]
    return []


@checks.register()
def metadata_check(**_options: Any) -> list[checks.CheckMessage]:  # noqa: ANN401 - Django's signature
    """Return a warning for metadata that runs out and for changes that wait for signatures."""
    with translation.override("en"):
        return [
            checks.Warning(str(alarm), id=METADATA_ID) for alarm in alarms_read(disk=centre_disk(), now=timezone.now())
        ]


@checks.register(deploy=True)
def keys_check(**_options: Any) -> list[checks.CheckMessage]:  # noqa: ANN401 - Django's signature
    """Return a warning for each private key of root or targets on this machine; `check --deploy` asks for it."""
    return [
        checks.Warning(
            f"The private key {path} lies on the server; whoever breaks in could sign releases with it.",
            hint="Move it to a stick in a safe: docs/operations.md, Key ceremonies.",
            id=MISPLACED_ID,
        )
        for path in misplaced_keys(disk=centre_disk())
    ]

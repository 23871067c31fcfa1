"""What `check --deploy` says of signing in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks

OPTIONAL_ID = "signin.W001"


@checks.register(deploy=True)
def second_factor_check(**_options: Any) -> list[checks.CheckMessage]:  # noqa: ANN401 - Django's signature
    """Return a warning where an account may go without a second factor."""
    if settings.IS_SECOND_FACTOR_REQUIRED:
        return []
    return [
        checks.Warning(
            "Accounts of the admin may go without a second factor; a stolen password is enough.",
            hint="Set SORO_CENTRAL_SECOND_FACTOR=required.",
            id=OPTIONAL_ID,
        )
    ]

"""Services that tests use where they answer: absent ones skip a test, or fail it under REQUIRE_SERVICES=1."""

import os
from typing import NoReturn

import pytest


def service_missing(name: str, reason: object) -> NoReturn:
    """Skip the running test, or fail it where continuous integration demands every service."""
    sentence = f"{name} does not answer: {reason}"
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)

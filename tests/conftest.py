"""Gives each part's tests its own project's settings."""

from pathlib import Path

import pytest

NODE_TESTS = Path(__file__).parent / "node"


@pytest.fixture(autouse=True)
def _own_project(request, settings):
    if request.path.is_relative_to(NODE_TESTS):
        for name, value in settings.NODE_OVERRIDES.items():
            setattr(settings, name, value)

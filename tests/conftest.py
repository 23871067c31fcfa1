"""Gives each part's tests its own project's settings, and lets tests empty what production only adds to."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from django.db import connection
from hypothesis import settings as hypothesis_settings

# How long an example takes says more of the machine than of the code; benchmarks measure.
hypothesis_settings.register_profile("untimed", hypothesis_settings(), deadline=None)
hypothesis_settings.load_profile("untimed")
NODE_TESTS = Path(__file__).parent / "node"


# These serve or rebuild the stand-in, which is built once in a checkout, by one process at a time.
STANDIN_TESTS = ("tests/browser/", "tests/journey/")
# The last folder, of few and long tests: by files, so that no worker waits for the other at the end.
LONG_TESTS = "tests/updater/"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Let the workers of `make test` share the suite by folder: what one makes for many tests, it makes once."""
    # Not by its own groups: pytest-xdist 3.8 writes them into ids of tests, which pytest 9.2 does not read any more.
    # Imported here: a school's PC is tried without pytest-xdist (tests/test_lean_node.py).
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            if nodeid.startswith(STANDIN_TESTS):
                return "standin"
            return file if nodeid.startswith(LONG_TESTS) else file.rpartition("/")[0]

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def _own_project(request, settings):
    if request.path.is_relative_to(NODE_TESTS):
        for name, value in settings.NODE_OVERRIDES.items():
            setattr(settings, name, value)


@pytest.fixture(autouse=True)
def _tables_can_be_emptied(request, _django_db_marker):
    """Take the triggers away before Django empties the tables after a test; it puts them back with what it migrates."""
    marker = request.node.get_closest_marker("django_db")
    is_emptied = bool(marker and marker.kwargs.get("transaction")) or "transactional_db" in request.fixturenames
    if is_emptied:
        request.getfixturevalue("transactional_db")
    yield
    # A school's PC has no centre, and none of its tables (tests/test_lean_node.py).
    if is_emptied and find_spec("central"):
        from tests.append_only import triggers_drop  # noqa: PLC0415

        triggers_drop(connection)

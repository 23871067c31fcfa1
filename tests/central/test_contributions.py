"""Which updates a release holds, and what the list that an adapter brings says of those before it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from central.releases.contributions import contributions_held, parts_shipped
from central.releases.describe import release_describe
from central.releases.models import Release
from federation.wire.contributions import Part
from tests.central.test_rollouts import release_make

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def base():
    return release_make(1)


def adapter(version, *updates, base, start="", days=1, **fields):
    """An adapter that was signed so many days ago."""
    signed = {"kind": "adapter", "base": base, "published_at": NOW - timedelta(days=days)}
    return release_make(version, contributions=list(updates), card={"start": start}, **(signed | fields))


def parts():
    return {part.version: part.updates for part in parts_shipped(now=NOW)}


def test_each_adapter_in_force_is_listed_with_what_it_added_whatever_its_season(base):
    first = adapter(2, "a", "b", base=base)
    adapter(3, "c", base=release_make(9))
    adapter(4, "d", base=base, start=first.digest, status="deprecated")
    assert parts_shipped(now=NOW) == (
        Part(version=2, updates=("a", "b")),
        Part(version=3, updates=("c",)),
        Part(version=4, updates=("d",)),
    )


def test_an_adapter_from_before_lists_is_listed_with_what_those_before_it_had_not(base):
    first = adapter(2, "a", "b", base=base)
    second = adapter(3, "a", "b", "c", base=base, start=first.digest)
    adapter(4, "d", base=base, start=second.digest)
    assert parts() == {2: ("a", "b"), 3: ("c",), 4: ("d",)}


def test_what_was_withdrawn_or_refused_or_waits_or_is_years_old_is_not_listed(base):
    for version, status in enumerate(("revoked", "refused", "awaiting_signature"), 2):
        adapter(version, f"update {status}", base=base, status=status)
    adapter(5, "old", base=base, days=731)
    adapter(6, "kept", base=base, days=729)
    assert parts() == {6: ("kept",)}


def test_a_release_holds_what_those_that_it_started_from_do_and_commands_print_it(base):
    first = adapter(2, "a", "b", base=base)
    second = adapter(3, "a", "b", "c", base=base, start=first.digest)
    third = adapter(4, "d", base=base, start=second.digest)
    beside = adapter(5, "e", base=base, start=first.digest)
    assert contributions_held(third) == ("a", "b", "c", "d")
    assert contributions_held(beside) == ("a", "b", "e")
    assert release_describe(third)["contributions"] == ["a", "b", "c", "d"]
    assert contributions_held(Release.objects.get(version=1)) == ()

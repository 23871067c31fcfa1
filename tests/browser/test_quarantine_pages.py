"""An update in quarantine as a person judges it in a real browser: by keyboard, at a desk and at a telephone."""

import pytest
from django.utils import timezone

from central import trust_root
from central.disk import CentreDisk
from central.schools.models import AuditEvent
from central.training.models import Update, UpdateStatus
from central.training.quarantine import round_screen
from tests.browser.test_rollout_pages import centre_here, looked_at, signed_in  # noqa: F401 - a fixture
from tests.central.modes import hand_in, schools_many, season_robust
from tests.central.seasons import collecting
from tests.central.test_probe import PlayedProbe, correct

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
HONEST = 6


@pytest.fixture
def poisoned(centre_here, client, settings, tmp_path):  # noqa: F811
    """The update of the last of seven schools, which makes everybody's corrections less likely."""
    settings.CENTRAL_ROOT = tmp_path
    trust_root.keys_make(now=timezone.now())
    disk, schools = CentreDisk(tmp_path), schools_many(client, HONEST + 1)
    season = season_robust(wanted=HONEST)
    for number, school in enumerate(schools):
        correct(school, number)
        found = hand_in(school, season, disk, number, factor=-5.0 if number == HONEST else 1.0)
    probe = PlayedProbe(poisoned=found.digest)
    round_screen(round_=collecting(season), disk=disk, now=timezone.now(), probe=probe)
    return Update.objects.get(pk=found.pk, status=UpdateStatus.QUARANTINED)


@pytest.mark.parametrize("width", [1280, 360])
def test_a_person_reads_why_an_update_waits_and_refuses_it(chromium, centre_here, poisoned, width):  # noqa: F811
    zarina, keys = signed_in(chromium, centre_here, "Зарина", width=width)
    zarina.open(f"/admin/training/round/{poisoned.round_id}/change/")
    wrong = looked_at(zarina, f"round-robust-{width}")
    page = zarina.open(f"/admin/training/update/{poisoned.pk}/change/")
    wrong += looked_at(zarina, f"update-quarantined-{width}")

    page = zarina.open("/admin/training/update/?status__exact=quarantined")
    wrong += looked_at(zarina, f"quarantine-{width}")
    keys.press(f"a[href*='/update/{poisoned.pk}/change/']")
    if width < 1024:
        # A narrow page has its buttons behind one.
        keys.go_to(r"a[href='#'].lg\:hidden")
        page.keyboard.press("Enter")
    keys.press(f"a[href*='/update/{poisoned.pk}/judge/']")
    wrong += looked_at(zarina, f"quarantine-decide-{width}")
    # Seven figures at least, each beside what is usual in the round.
    assert page.locator("tbody tr:not(:has-text('–'))").count() >= 7

    keys.write("#id_reason", "Мактаб мегӯяд, ки ин тавр наомӯхтааст")
    keys.press("button[value=reject]")
    poisoned.refresh_from_db()
    assert poisoned.status == UpdateStatus.REFUSED
    assert AuditEvent.objects.latest("pk").reason == "Мактаб мегӯяд, ки ин тавр наомӯхтааст"
    assert page.locator("a[href*='/judge/']").count() == 0
    assert wrong == []

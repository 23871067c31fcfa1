"""What the gate found, as a person reads it in a real browser: on a release's page and among a season's adapters."""

import pytest
from django.utils import timezone

from central import trust_root
from central.disk import CentreDisk
from central.training.models import Round
from federation.wire.verdicts import GroupFigure, GroupKind
from tests.browser.test_rollout_pages import centre_here, looked_at, signed_in  # noqa: F401 - a fixture
from tests.central.modes import schools_many
from tests.central.seasons import season_small, take_in, update_of
from tests.central.test_candidate import Gate
from tests.central.test_seasons import sign, tick

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
PLACES = (
    (GroupKind.REGION, "Вилояти Мухтори Кӯҳистони Бадахшон", 14),
    (GroupKind.REGION, "Ноҳияҳои тобеи ҷумҳурӣ", 31),
    (GroupKind.SUBJECT, "забони тоҷикӣ", 22),
)


@pytest.fixture
def season(centre_here, client, settings, tmp_path):  # noqa: F811
    """A season of two adapters: the gate passed the first, and refused the second."""
    settings.CENTRAL_ROOT = tmp_path
    trust_root.keys_make(now=timezone.now())
    disk, (school,) = CentreDisk(tmp_path), schools_many(client, 1)
    season = season_small(wanted=1)
    take_in(update_of(school, season), disk)
    tick(season, disk, gate=Gate(groups=groups(1.2)))
    sign(Round.objects.get(season=season, number=1), disk)
    tick(season, disk)
    take_in(update_of(school, season, scale=0.3), disk)
    tick(season, disk, gate=Gate(unrelated_loss=0.5, groups=groups(-0.4)))
    return season


def groups(change):
    return tuple(
        GroupFigure(kind=kind, name=name, count=count, base=-3.4, last=-3.1, candidate=-3.1 + change)
        for kind, name, count in PLACES
    )


@pytest.mark.parametrize("width", [1280, 360])
def test_a_person_reads_what_the_gate_found(chromium, centre_here, season, width):  # noqa: F811
    zarina, keys = signed_in(chromium, centre_here, "Зарина", width=width)
    page = zarina.open(f"/admin/training/season/{season.pk}/change/")
    wrong = looked_at(zarina, f"season-adapters-{width}")
    # Wider than a telephone, the table is moved by the keyboard.
    keys.go_to("[role=region]:has(#adapters)")
    assert page.locator("#adapters tbody").count() == 2

    passed, refused = (Round.objects.get(season=season, number=number).release for number in (1, 2))
    zarina.open(f"/admin/releases/release/{passed.pk}/change/")
    wrong += looked_at(zarina, f"release-passed-{width}")
    page = zarina.open(f"/admin/releases/release/{refused.pk}/change/")
    wrong += looked_at(zarina, f"release-refused-{width}")
    assert page.locator("tbody th", has_text="Бадахшон").is_visible()
    assert "unrelated_loss" not in page.locator("main, #content").first.inner_text()
    assert wrong == []

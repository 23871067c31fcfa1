"""Rollouts as two people steer them in a real browser: by keyboard alone, at a desk's width and at a telephone's.

The server is Django's own in this process, so that the test may play the schools; SORO_SCREENSHOTS=FOLDER keeps the
pages' pictures for the documents.
"""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth import get_user_model
from django.utils import timezone

from central.feedback.models import Rating
from central.releases.models import Release
from central.rollouts.models import Assignment, Rollout
from central.rollouts.tick import rollout_tick
from central.schools.models import Node, RetiredKey, School
from tests.browser.conftest import Visit
from tests.central.test_rollout_targets import nodes_make, release_of_bytes
from tests.central.test_rollouts import _running

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
PASSWORD = "зарина-ва-фирдавс"
GRAVE = ("serious", "critical")
MOST_TABS = 400


@pytest.fixture
def centre_here(live_server, settings):
    settings.ALLOWED_HOSTS = ["*"]
    for name in ("Зарина", "Фирдавс"):
        get_user_model().objects.create_superuser(name, password=PASSWORD)
    release_of_bytes(7, 3_400_000)
    for region, count in (("Хатлон", 40), ("Суғд", 30), ("Душанбе", 14), ("ВМКБ", 6)):
        nodes_make(count, region=region, kind="миёна", district=f"ноҳияи {region}")
    School.objects.create(name="Мактаби нав", region="Хатлон", created_at=timezone.now())
    return live_server.url


class Keyboard:
    """A person with a keyboard and no mouse."""

    def __init__(self, page):
        self.page = page

    def go_to(self, selector):
        """Press Tab until the focus is on `selector`; fail where it cannot be reached."""
        for _ in range(MOST_TABS):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
                return
        pytest.fail(f"Tab never reaches {selector}")

    def write(self, selector, text):
        self.go_to(selector)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def press(self, selector):
        """Press Enter on a link or a button, and wait for the page that it leads to."""
        self.go_to(selector)
        with self.page.expect_navigation(wait_until="networkidle"):
            self.page.keyboard.press("Enter")


def signed_in(chromium, address, name, *, width):
    visit = Visit(chromium, address, width=width)
    page = visit.open("/admin/")
    keyboard = Keyboard(page)
    keyboard.write("#id_username", name)
    keyboard.write("#id_password", PASSWORD)
    with page.expect_navigation(wait_until="networkidle"):
        page.keyboard.press("Enter")
    return visit, keyboard


def grave_findings(page):
    found = Axe().run(page).response["violations"]
    return [
        (each["id"], each["impact"], node["html"][:200])
        for each in found
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]


def picture(page, name):
    folder = os.environ.get("SORO_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def looked_at(visit, name):
    """Return what is wrong with a page: it has to fit, stay on the machine, complain of nothing, and be accessible."""
    picture(visit.page, name)
    wrong = [(name, *finding) for finding in grave_findings(visit.page)]
    wrong += [(name, "wider than the screen", visit.overflow_pixels)] if visit.overflow_pixels > 0 else []
    return wrong + [(name, told) for told in (*visit.asked_elsewhere, *visit.complaints)]


@pytest.mark.parametrize("width", [1280, 360])
def test_two_people_plan_approve_start_pause_and_roll_back_by_keyboard_alone(chromium, centre_here, width):
    zarina, keys = signed_in(chromium, centre_here, "Зарина", width=width)
    page = zarina.open("/admin/rollouts/rollout/add/")
    wrong = looked_at(zarina, f"rollout-plan-{width}")
    keys.go_to("#id_release")
    page.keyboard.press("ArrowDown")
    keys.go_to("input[name=regions][value=Хатлон]")
    page.keyboard.press("Space")
    keys.write("#id_failures_allowed", "1")
    keys.write("#id_form-0-number", "4")
    keys.press("button[name=preview]")

    assert page.locator("h2#sizes").is_visible()
    wrong += looked_at(zarina, f"rollout-preview-{width}")
    keys.press("a[href='?part=not_targeted']")
    assert page.locator("tbody tr:has-text('Суғд')").count() >= 30
    rollout = Rollout.objects.get()
    keys.press(f"a[href='/admin/rollouts/rollout/{rollout.pk}/step/submit/']")
    wrong += looked_at(zarina, f"rollout-step-{width}")
    keys.press("button[data-tone=main]")
    assert page.locator("[data-field=steps] a[href*=approve]").count() == 0

    firdavs, others = signed_in(chromium, centre_here, "Фирдавс", width=width)
    seen = firdavs.open(f"/admin/rollouts/rollout/{rollout.pk}/change/")
    others.press("[data-field=steps] a[href*=approve]")
    others.press("button[data-tone=main]")
    others.press("[data-field=steps] a[href*=start]")
    others.press("button[data-tone=main]")
    rollout.refresh_from_db()
    assert (rollout.status, rollout.created_by, rollout.approved_by) == ("running", "Зарина", "Фирдавс")

    schools_play(rollout)
    # The page is not loaded again: its script finds out.
    seen.wait_for_function("document.querySelector('[data-part=committed]').textContent === '2'", timeout=20_000)
    assert seen.locator("[data-part=failed]").first.inner_text() == "1"
    assert "4" in seen.locator("[data-field=verdict]").first.inner_text()
    firdavs.open(f"/admin/rollouts/rollout/{rollout.pk}/change/")
    wrong += looked_at(firdavs, f"rollout-running-{width}")

    others.press("[data-field=steps] a[href*=pause]")
    others.write("#id_reason", "Барқ нест")
    others.press("button[data-tone=main]")
    assert seen.locator("[data-field=steps] a[href*=resume]").is_visible()
    others.press("[data-field=steps] a[href*=roll-back]")
    others.press("button[data-tone='danger main']")
    rollout.refresh_from_db()
    assert rollout.status == "rolling_back"
    wrong += looked_at(firdavs, f"rollout-back-{width}")
    assert wrong == []


def schools_play(rollout):
    """Let the first wave open, and four schools come: two run the release, one fetches it, on one it failed."""
    rollout_tick(rollout_id=rollout.pk, now=timezone.now())
    first, second, third, fourth = Assignment.objects.filter(rollout=rollout).order_by("pk")
    now = timezone.now()
    for part, status, code in (
        (first, "committed", ""),
        (second, "committed", ""),
        (third, "downloading", ""),
        (fourth, "reverted", "trial_crash_loop"),
    ):
        Assignment.objects.filter(pk=part.pk).update(
            status=status, error_code=code, sequence=1, offered_at=now - timedelta(hours=5), reported_at=now
        )


def school_with_a_past():
    """Return a school that was offered a release, rates it, and has a full disk."""
    node = Node.objects.filter(school__region="Суғд").first()
    Node.objects.filter(pk=node.pk).update(problems=["disk_full"], contact_days=0b1001011)
    rollout = _running(Release.objects.get(), "ҳама=100%")
    Assignment.objects.filter(rollout=rollout, node=node).update(
        status="reverted", error_code="engine_failed", sequence=1, offered_at=timezone.now(), ended_at=timezone.now()
    )
    Rating.objects.create(node=node, record_id="1", revision=1, stars=5, received_at=timezone.now())
    RetiredKey.objects.create(node=node, public_key="x", key_id="ab" * 32, retired_at=timezone.now())
    return node.school


@pytest.mark.parametrize("width", [1280, 360])
def test_lists_filters_and_a_schools_timeline_are_accessible_and_fit(chromium, centre_here, width):
    zarina, keys = signed_in(chromium, centre_here, "Зарина", width=width)
    page = zarina.open("/admin/rollouts/schoolfilter/add/")
    keys.write("#id_name", "шимол")
    keys.go_to("input[name=regions][value=Суғд]")
    page.keyboard.press("Space")
    wrong = looked_at(zarina, f"school-filter-{width}")
    keys.press("button[data-tone=main]")
    assert page.locator("#changelist").count() == 1
    school = school_with_a_past()
    zarina.open(f"/admin/schools/school/{school.pk}/timeline/")
    assert page.locator(".page-timeline li").count() >= 5
    wrong += looked_at(zarina, f"school-timeline-{width}")
    assert wrong == []
    # A badge that says nothing is not drawn.
    assert page.locator("a[href*=clonealarm] span.bg-red-100").count() == 0

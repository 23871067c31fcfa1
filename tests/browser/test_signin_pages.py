"""Signing in with a telephone, and a regional admin in their own region, in a real browser and by keyboard alone."""

import time

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from central import trust_root
from central.schools.models import School
from central.schools.roles import Role
from tests.browser.test_rollout_pages import PASSWORD, looked_at, signed_in
from tests.central.regions import MARKS, OTHER, OWN, account, country

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def people_here(live_server, settings):
    settings.ALLOWED_HOSTS = ["*"]
    for name, role, region in (("Зарина", Role.NATIONAL_ADMIN, ""), ("Фирдавс", Role.REGIONAL_ADMIN, OWN)):
        user = account(name, role, region)
        user.set_password(PASSWORD)
        user.save()
    return live_server.url


def code_of(name, steps=0):
    """Return what the person's telephone shows."""
    device = TOTPDevice.objects.get(user=User.objects.get(username=name))
    totp = TOTP(device.bin_key)
    totp.time = time.time() + 30 * steps
    return f"{totp.token():06}"


def send(page, keyboard, code):
    keyboard.write("#id_code", code)
    with page.expect_navigation(wait_until="networkidle"):
        page.keyboard.press("Enter")


@pytest.mark.parametrize("width", [1280, 360])
def test_a_person_enrols_a_telephone_and_is_asked_for_its_code(chromium, people_here, settings, width):
    settings.IS_SECOND_FACTOR_REQUIRED = True
    visit, keyboard = signed_in(chromium, people_here, "Зарина", width=width)
    page = visit.page

    assert page.locator("img[src^='data:image/svg']").is_visible()
    looked_at(visit, f"second-factor-enrol-{width}")
    send(page, keyboard, code_of("Зарина"))

    assert page.locator("ul.font-mono li").count() == 10
    looked_at(visit, f"recovery-codes-{width}")
    visit.open("/admin/schools/school/")
    assert page.locator("#changelist").count() == 1

    again, keyboard = signed_in(chromium, people_here, "Зарина", width=width)
    assert "/second-factor/" in again.page.url
    looked_at(again, f"second-factor-{width}")
    send(again.page, keyboard, "000000")
    assert again.page.locator("[role=alert]").is_visible()
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    send(again.page, keyboard, code_of("Зарина", steps=1))
    assert again.open("/admin/schools/school/").locator("#changelist").count() == 1


def test_a_regional_admin_is_kept_out_of_another_region(chromium, people_here, settings, tmp_path):
    settings.CENTRAL_ROOT = tmp_path
    trust_root.keys_make(now=timezone.now())
    country()
    visit, _keyboard = signed_in(chromium, people_here, "Фирдавс", width=1280)
    page = visit.open("/admin/schools/school/")

    assert page.locator(f"text=Мактаби {MARKS[OWN]}").count() >= 1
    assert page.locator(f"text=Мактаби {MARKS[OTHER]}").count() == 0
    looked_at(visit, "schools-of-a-region")
    other = School.objects.get(region=OTHER)
    page = visit.open(f"/admin/schools/school/{other.pk}/change/")
    assert MARKS[OTHER] not in page.content()
    assert page.locator("a[href='/admin/auth/user/']").count() == 0

"""A real Chromium under the centre's Content-Security-Policy: every page works, and what is slipped in does not run."""

import pytest
from django.contrib import admin

from tests.browser.test_rollout_pages import centre_here, signed_in  # noqa: F401 - a fixture

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
ADDED = ("releases/release", "rollouts/rollout", "training/season", "schools/school", "auth/user")
SLIPPED_IN = """
document.body.insertAdjacentHTML('beforeend', '<img src="/nowhere.png" onerror="window.ran = 1">');
const script = document.createElement('script'); script.textContent = 'window.ran = 2'; document.body.append(script);
"""


def pages():
    """Yield every list of the admin, the first row of each, and the forms that add something."""
    for model in admin.site._registry:
        place = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        yield place
        if row := model._default_manager.first():
            yield f"{place}{row.pk}/change/"
    yield from (f"/admin/{each}/add/" for each in ADDED)


def test_no_page_of_the_admin_breaks_the_policy_and_alpine_runs_on_each(chromium, centre_here):  # noqa: F811
    seen, _keyboard = signed_in(chromium, centre_here, "Зарина", width=1280)
    places = ["/admin/", *pages(), "/admin/feedback/rating/review/", "/admin/second-factor/enrol/"]
    asleep = []
    for place in places:
        page = seen.open(place)
        # Alpine takes this away when it has read the page.
        if page.evaluate("document.documentElement.hasAttribute('x-cloak')"):
            asleep.append(place)

    assert len(places) > 30
    assert asleep == []
    assert [told for told in seen.complaints if "404" not in told] == []
    assert seen.asked_elsewhere == []


def test_a_script_that_is_slipped_into_a_page_does_not_run(chromium, centre_here):  # noqa: F811
    seen, _keyboard = signed_in(chromium, centre_here, "Зарина", width=1280)
    page = seen.open("/admin/")
    with page.expect_event("console", lambda told: "nowhere.png" in told.text or "404" in told.text):
        page.evaluate(SLIPPED_IN)
    page.wait_for_function("performance.getEntriesByType('resource').some(each => each.name.endsWith('nowhere.png'))")

    assert page.evaluate("window.ran") is None
    assert sum("Content Security Policy" in told for told in seen.complaints) == 2

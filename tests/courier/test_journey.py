"""Two schools and one stick, with real processes and databases: both directions, twice, and the school's own page."""

import json
import re
import time

import httpx
import pytest

from federation.demo.commands import CommandLine
from tests.courier.conftest import package_make
from tests.stations import EMBEDDED, node_run

pytestmark = pytest.mark.slow
STEP = "courier"
PUBLISH = """
from pathlib import Path
from django.utils import timezone
from central.disk import centre_disk
from central.releases.models import Release
from central.releases.services import release_built, release_sign
from central.releases.variants import BuiltPackage
from central.rollouts.services import rollout_approve, rollout_create, rollout_submit
from central.rollouts.tick import rollouts_advance
from central.rollouts.wave_spec import wave_spec_read
now, disk = timezone.now(), centre_disk()
release = Release.objects.create(kind="base", version=1, title="t", status="building", created_by="t", created_at=now)
package = BuiltPackage(folder=Path({folder!r}), card={{}})
release_built(release=release, packages=[package], disk=disk, now=now)
Release.objects.filter(pk=release.pk).update(status="awaiting_signature")
release.refresh_from_db()
release_sign(release=release, disk=disk, actor="t", now=now)
rollout = rollout_create(release=release, waves=[wave_spec_read("all=100%")], creator="a", starts_at=None, now=now)
rollout_submit(rollout=rollout, actor="a", now=now)
rollout_approve(rollout=rollout, approver="b", now=now)
rollouts_advance(now=now)
"""
RATE = """
from django.contrib.auth.models import User
from django.utils import timezone
from django.conf import settings
from node.chat.models import Answer, Conversation, Turn
from node.ratings.services import Opinion, rating_record
now = timezone.now()
teacher, _ = User.objects.get_or_create(username="munira")
turn = Turn.objects.create(
    conversation=Conversation.objects.create(session_key="g", started_at=now), question="Пойтахт?", asked_at=now)
answer = Answer.objects.create(
    turn=turn, text="Хуҷанд.", status="finished", release="c" * 64, release_version=1, finished_at=now)
rating_record(answer=answer, teacher=teacher, opinion=Opinion(stars=2, correction="Душанбе."), now=now,
              root=settings.NODE_ROOT)
"""


class Station:
    """One side's command line, with a database and a root of its own."""

    def __init__(self, project, root, environment=None):
        self.root = root
        self.commands = CommandLine(project=project, root=root, environment=environment or {})

    def bundle(self, way, *arguments):
        return self.commands.run_json(STEP, "bundle", way, *arguments)

    def shell(self, code):
        self.commands.run(STEP, "shell", "--no-imports", "--command", code)


@pytest.fixture(scope="module")
def country(tmp_path_factory):
    """A centre with keys and a stick that it has written, and two schools that have asked to enrol on it."""
    folder = tmp_path_factory.mktemp("country")
    centre = Station("central", folder / "central", EMBEDDED)
    centre.commands.run(STEP, "migrate", "--verbosity", "0")
    centre.commands.run(STEP, "keys", "make")
    stick = folder / "stick"
    stick.mkdir()
    schools = []
    claims = [
        centre.commands.run_json(STEP, "school_invite", "--name", f"Мактаби №{number}", "--region", "Хатлон")
        for number in (1, 2)
    ]
    centre.bundle("export", str(stick))
    for number, claim in enumerate(claims, 1):
        school = Station("node", folder / f"node-{number}")
        answer = school.bundle("export", "--code", claim["code"], "--root-sha256", claim["root_sha256"], str(stick))
        assert answer["is_enrolment"]
        schools.append(school)
    return centre, schools, stick


def test_two_schools_trade_by_one_stick_twice(country, tmp_path):
    centre, schools, stick = country
    centre.shell(PUBLISH.format(folder=str(package_make(tmp_path / "package"))))

    assert centre.bundle("import", str(stick)) | {"bytes_written": 0} == {
        "schools": 2,
        "files": 2,
        "bytes_written": 0,
        "problems": [],
        "code": "",
    }
    written = centre.bundle("export", "--region", "Хатлон", str(stick))
    assert (written["schools"], written["files"]) == (2, 2)
    for number, school in enumerate(schools, 1):
        brought = json.loads(school.commands.run(STEP, "bundle", "import", "--json", str(stick)))
        assert brought["school"] == f"Мактаби №{number}"
        # The package is no model, so the self-test's child process refuses it, and that is what goes back.
        assert (brought["release_version"], brought["release_state"], brought["failures"]) == (1, "reverted", [])
        school.shell(RATE)
        assert school.bundle("export", str(stick))["ratings"] == 1
    for school in reversed(schools):
        # The second round of the same stick: one more rating, nothing acknowledged yet.
        school.shell(RATE)
        assert school.bundle("export", str(stick))["ratings"] == 2

    taken = centre.bundle("import", str(stick))
    assert (taken["schools"], taken["problems"], taken["code"]) == (2, [], "")
    assert centre.bundle("import", str(stick))["problems"] == []
    centre.shell(
        "from central.feedback.models import Rating; from central.rollouts.models import Assignment;"
        "assert Rating.objects.count() == 4, Rating.objects.count();"
        "assert set(Assignment.objects.values_list('status', flat=True)) == {'reverted'}"
    )
    # Both have refused the release, so the stick needs nothing of it any more.
    assert centre.bundle("export", str(stick))["bytes_written"] == 0
    for school in schools:
        brought = json.loads(school.commands.run(STEP, "bundle", "import", "--json", str(stick)))
        assert (brought["ratings_safe"], brought["waiting_reason"]) == (2, "reverted_here")


def test_a_teacher_brings_a_stick_in_on_the_schools_page(country, monkeypatch):
    _centre, schools, stick = country
    root = schools[0].root
    password = schools[0].commands.run_json(STEP, "account_create", "--username", "gulnora", "--role", "teacher")[
        "password"
    ]
    monkeypatch.setenv("SORO_NODE_STICKS", str(stick))
    with node_run(root) as (_commands, address), httpx.Client(base_url=address, follow_redirects=True) as browser:
        _post(browser, "/sign-in/", username="gulnora", password=password)
        page = _post(browser, "/stick/", "/stick/start/", way="bring_in", place=str(stick))
        for _ in range(100):
            if "hx-trigger" not in page.text:
                break
            time.sleep(0.2)
            page = browser.get("/stick/progress/")
    assert 'class="note good"' in page.text, page.text
    assert (root / "logs" / "stick.log").exists()


def _post(browser, form, action=None, **fields):
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(form).text).group(1)
    answer = browser.post(action or form, data=fields | {"csrfmiddlewaretoken": token})
    assert answer.status_code == 200, answer.text
    return answer

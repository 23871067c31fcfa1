"""The page and the command by which a school sees, stops and times the learning on its PC."""

import json
from datetime import time

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.urls import reverse
from django.utils import translation

from node.rounds import training
from node.rounds.eligibility import Hindrance
from node.rounds.learning_lock import is_learning, learning_alone
from node.rounds.learning_settings import (
    LearningRuleRefused,
    learning_hours_write,
    learning_rule_read,
    learning_settings_read,
    learning_stop,
)
from node.rounds.learning_status import LearningPhase, learning_status
from node.rounds.models import LearningSettings, LocalUpdate
from node.rounds.sentences import HINDRANCES, PHASES, learning_sentence
from tests.node.conftest import NOW
from tests.node.test_rounds import NIGHT, base, correct, director, index_make, plan, run  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _able(monkeypatch):
    monkeypatch.setattr(training, "NEEDED_PACKAGES", ("json",))
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))


@pytest.fixture
def head(db):
    user = User.objects.create_user("mudir", password="a-password")
    user.groups.add(Group.objects.get_or_create(name="head")[0])
    return user


def phase(root, now=NIGHT):
    return learning_status(root=root, now=now).phase


def test_the_phase_follows_the_learning_from_nothing_to_done(root, teacher, request):
    assert phase(root) is LearningPhase.NO_PLAN
    request.getfixturevalue("plan")
    assert phase(root) is LearningPhase.FEW_LABELS
    correct(teacher, root, "Душанбе.")
    assert phase(root) is LearningPhase.DUE
    learning_hours_write(opens_at=time(3), closes_at=time(4), idle_minutes=None)
    status = learning_status(root=root, now=NIGHT)
    assert (status.phase, status.hindrance) == (LearningPhase.WAITS, "hours")
    with learning_alone(root):
        assert is_learning(root)
        assert phase(root) is LearningPhase.RUNNING
    assert not is_learning(root)
    learning_stop(reason="", by="mudir", now=NOW)
    assert phase(root) is LearningPhase.STOPPED
    LearningSettings.objects.all().delete()
    update = {"counter": 1, "started_at": NOW, "plan_id": "plan-1", "sha256": "a" * 64}
    LocalUpdate.objects.create(status="failed", **update)
    assert phase(root) is LearningPhase.FAILED
    LocalUpdate.objects.update(status="ready")
    assert phase(root) is LearningPhase.DONE


@pytest.mark.parametrize("language", ["tg", "ru"])
def test_each_phase_and_hindrance_has_a_sentence_of_its_own_in_each_language(language):
    assert set(PHASES) == set(LearningPhase) - {LearningPhase.STOPPED, LearningPhase.WAITS}
    assert set(HINDRANCES) == set(Hindrance)
    with translation.override("en"):
        english = {str(words) for words in (*PHASES.values(), *HINDRANCES.values())}
    with translation.override(language):
        own = {str(words) for words in (*PHASES.values(), *HINDRANCES.values())}
    assert len(own) == len(english)
    assert not own & english


def test_a_teacher_stops_the_learning_says_why_and_lets_it_go_on(client, root, teacher):
    client.force_login(teacher)
    client.post(reverse("learning-stop"), {"reason": "Имтиҳони давлатӣ"})
    kept = learning_settings_read()
    assert (kept.stopped_by, kept.stop_reason) == ("munira", "Имтиҳони давлатӣ")
    assert learning_rule_read().is_stopped
    page = client.get(reverse("learning")).text
    assert "Имтиҳони давлатӣ" in page
    assert "munira" in page
    assert "Имтиҳони давлатӣ" in client.get(reverse("status")).text
    client.post(reverse("learning-resume"))
    assert not learning_rule_read().is_stopped
    assert "Имтиҳони давлатӣ" not in client.get(reverse("learning")).text


def test_the_head_sets_the_hours_and_a_teacher_only_reads_them(client, root, teacher, head):
    hours = {"opens_at": "20:30", "closes_at": "05:00", "idle_minutes": ""}
    client.force_login(teacher)
    assert client.post(reverse("learning"), hours).status_code == 403
    assert learning_settings_read().opens_at == time(17)
    assert 'name="opens_at"' not in client.get(reverse("learning")).text
    client.force_login(head)
    assert client.post(reverse("learning"), hours).status_code == 302
    rule = learning_rule_read()
    assert (rule.opens_at, rule.closes_at, rule.idle_minutes) == (time(20, 30), time(5), None)
    assert 'value="20:30"' in client.get(reverse("learning")).text


@pytest.mark.parametrize(
    "bad", [{"opens_at": ""}, {"closes_at": "25:00"}, {"idle_minutes": "0"}, {"idle_minutes": "1441"}]
)
def test_hours_that_cannot_be_kept_change_nothing_and_are_named(client, root, head, bad):
    client.force_login(head)
    page = client.post(reverse("learning"), {"opens_at": "20:30", "closes_at": "05:00", "idle_minutes": "60"} | bad)
    assert (page.status_code, 'role="alert"' in page.text) == (200, True)
    assert not LearningSettings.objects.exists()


def test_pupils_and_guests_neither_see_nor_stop_the_learning(client, root, db):
    pupil = User.objects.create_user("shogird", password="a-password")
    assert client.get(reverse("learning")).status_code == 302
    client.force_login(pupil)
    for name in ("learning", "learning-stop", "learning-resume"):
        assert client.post(reverse(name)).status_code == 403
    assert not LearningSettings.objects.exists()


def test_a_reason_longer_than_a_line_is_refused(root):
    with pytest.raises(LearningRuleRefused):
        learning_stop(reason="х" * 201, by="munira", now=NOW)
    assert not LearningSettings.objects.exists()


def test_the_command_sets_stops_resumes_and_tells(root, capsys):
    def told(*words):
        call_command("learning", *words, "--json")
        return json.loads(capsys.readouterr().out)

    assert told("show")["opens_at"] == "17:00"
    answer = told("hours", "--opens", "22:00", "--closes", "05:00", "--idle-minutes", "90")
    assert (answer["opens_at"], answer["closes_at"], answer["idle_minutes"]) == ("22:00", "05:00", 90)
    assert told("stop", "--reason", "Таъмир", "--by", "устод")["phase"] == "stopped"
    with translation.override("en"):
        assert learning_sentence(learning_status(root=root, now=NOW)) == "Learning was stopped by устод: Таъмир"
    assert told("resume")["phase"] == "no_plan"

"""A school's PC in a directory of its own, with a teacher and an answer to rate."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group, User

from federation.wire.sheet import Sheet
from node.chat.models import Answer, Conversation, Turn
from node.sync.enrol import sheet_enrol
from tests.simulators import CentreSimulator

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
RELEASE = "c" * 64


@pytest.fixture
def root(tmp_path, settings):
    settings.NODE_ROOT = tmp_path / "node"
    settings.NODE_ROOT.mkdir()
    return settings.NODE_ROOT


@pytest.fixture
def teacher(db):
    user = User.objects.create_user("munira", password="a-password")
    user.groups.add(Group.objects.get_or_create(name="teacher")[0])
    return user


@pytest.fixture
def answer(db):
    return answer_make()


def answer_make(question="Пойтахти Тоҷикистон кадом аст?", text="Хуҷанд.", **fields):
    conversation = Conversation.objects.create(session_key="guest", started_at=NOW)
    turn = Turn.objects.create(conversation=conversation, question=question, asked_at=NOW)
    given = {"status": Answer.Status.FINISHED, "release": RELEASE, "release_version": 1, "finished_at": NOW}
    return Answer.objects.create(turn=turn, text=text, **(given | fields))


@pytest.fixture
def centre(tmp_path):
    scratch = tmp_path / "centre"
    scratch.mkdir()
    simulator = CentreSimulator(scratch=scratch)
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.fixture
def school(root, centre):
    centre.claim_codes["CODE123456"] = "Мактаби №1"
    sheet = Sheet(code="CODE123456", root_sha256=centre.fingerprint, authority_sha256="", address=centre.url)
    sheet_enrol(root=root, sheet=sheet)
    return root

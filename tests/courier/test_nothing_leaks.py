"""What a stick carries away from a school, opened with the centre's key: only words that a teacher saw and sent."""

import pytest

from federation.trust.courier_keys import courier_keys_load
from federation.trust.stick_returns import returns_read
from node.chat.models import Answer, Conversation, Turn
from node.ratings.services import Opinion, rating_record, rating_tap
from tests.courier.conftest import NOW, rate
from tests.leaks import words_found

pytestmark = pytest.mark.django_db

NEVER_RATED, TAPPED, HELD = "зумрадқаноти", "лоларухсори", "сангинкӯҳи"
SENT = "гулбаргакҳои"
SECRET = {NEVER_RATED, TAPPED, HELD}


def answer_to(question):
    conversation = Conversation.objects.create(session_key="guest", started_at=NOW)
    turn = Turn.objects.create(conversation=conversation, question=question, asked_at=NOW)
    return Answer.objects.create(turn=turn, text=question, status="finished", release="c" * 64, finished_at=NOW)


def test_on_a_stick_there_are_only_the_words_that_a_teacher_saw_and_sent(centre, enrolled, stick, teacher):
    known = {"teacher": teacher, "now": NOW, "root": enrolled.root}
    answer_to(NEVER_RATED)
    rating_tap(answer=answer_to(TAPPED), is_good=False, **known)
    rating_record(answer=answer_to(HELD), opinion=Opinion(stars=1, correction=HELD), is_held=True, **known)
    rate(enrolled, teacher, correction=SENT)

    enrolled.write_out(stick)

    lying_there = [path.read_bytes() for path in stick.place.rglob("*") if path.is_file()]
    assert words_found(lying_there, SECRET | {SENT, teacher.username}) == set()
    keys = courier_keys_load(centre.disk.keys)
    opened = [file.content for file in returns_read(source=stick, keys=keys)]
    assert words_found(opened, {SENT}) == {SENT}
    assert words_found(opened, SECRET | {teacher.username}) == set()

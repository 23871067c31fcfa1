"""A teacher rates in one tap, sees what would leave the school, holds it back, and follows what was sent."""

import json

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from node.accounts import Role, account_create
from node.chat.models import Answer, Conversation
from node.installed.state import Phase, Slots, slots_write
from node.outbox.models import Parcel
from node.people.services import class_change, class_create, pupil_create, pupil_move
from node.ratings.models import Rating
from node.ratings.services import Opinion, RatingRefused, rating_record, rating_send, rating_tap, rating_withdraw
from tests.node.conftest import NOW, RELEASE, answer_make

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client, root, teacher):
    slots_write(root, Slots(current=RELEASE, phase=Phase.COMMITTED))
    client.force_login(teacher)
    return client


@pytest.fixture
def school_class(teacher):
    made = class_create(name="6А")
    class_change(school_class=made, asks_pin=True, teacher_ids=[teacher.pk])
    return made


def pupil_of(school_class, name="Ҷамила"):
    return pupil_create(school_class=school_class, last_name="Каримова", first_name=name).pupil.person


def answer_to(person, **fields):
    answer = answer_make(**fields)
    Conversation.objects.filter(pk=answer.turn.conversation_id).update(person=person, session_key="")
    answer.refresh_from_db()
    return answer


def colleague(username="gulnora", role=Role.TEACHER):
    return User.objects.get(username=account_create(username=username, role=role).username)


def tap(answer, teacher, root, *, is_good):
    return rating_tap(answer=answer, teacher=teacher, is_good=is_good, now=NOW, root=root)


def spoken():
    return json.dumps(list(Parcel.objects.values_list("body", flat=True)), ensure_ascii=False)


def test_one_tap_rates_and_nothing_leaves_the_school(desk, answer, teacher):
    shown = desk.post(reverse("tap", args=[answer.pk]), {"good": "0"}, headers={"hx-request": "true"}).text
    assert "Дар мактаб мемонад." in shown
    rating = Rating.objects.get()
    assert (rating.stars, rating.sharing, rating.teacher) == (2, "held", teacher)
    assert not Parcel.objects.exists()
    desk.post(reverse("tap", args=[answer.pk]), {"good": "1"}, headers={"hx-request": "true"})
    assert [(rating.stars, rating.revision) for rating in Rating.objects.active()] == [(4, 2)]
    assert not Parcel.objects.exists()


def test_a_tap_without_javascript_leads_to_the_form(desk, answer):
    assert desk.post(reverse("tap", args=[answer.pk]), {"good": "1"}).url == reverse("rate", args=[answer.pk])
    assert Rating.objects.get().stars == 4


def test_the_same_tap_again_changes_nothing_and_a_finer_rating_is_kept(answer, teacher, root):
    rating_record(
        answer=answer,
        teacher=teacher,
        opinion=Opinion(stars=5, correction="Душанбе."),
        now=NOW,
        root=root,
        is_held=True,
    )
    assert tap(answer, teacher, root, is_good=True).revision == 1
    changed = tap(answer, teacher, root, is_good=False)
    assert (changed.stars, changed.correction, changed.revision) == (2, "Душанбе.", 2)


def test_a_tap_on_what_was_sent_goes_to_the_form_and_changes_nothing(desk, answer, teacher, root):
    rating_record(answer=answer, teacher=teacher, opinion=Opinion(stars=5), now=NOW, root=root)
    sent = desk.post(reverse("tap", args=[answer.pk]), {"good": "0"}, headers={"hx-request": "true"})
    assert sent.headers["HX-Redirect"] == reverse("rate", args=[answer.pk])
    assert Rating.objects.get().stars == 5


def test_what_is_held_is_shown_word_for_word_and_then_sent_as_it_was_shown(desk, answer, teacher, root):
    tap(answer, teacher, root, is_good=False)
    shown = desk.get(reverse("outgoing")).text
    rating = Rating.objects.get()
    assert answer.turn.question in shown
    desk.post(reverse("outgoing"), {"rating": f"{rating.record_id}:{rating.revision}"})
    (body,) = Parcel.objects.values_list("body", flat=True)
    assert (body["question"], body["answer"], body["stars"]) == (rating.question, rating.answer_text, 2)
    assert Rating.objects.get().sharing == "sent"
    assert "Чизе нигоҳ дошта нашудааст" in desk.get(reverse("outgoing")).text


@pytest.mark.parametrize("named", ["{id}:2", "{id}:", "{id}", ":1", "x:1", "{id}:1 ", "{id}:" + "9" * 40, "{id}:١"])
def test_a_revision_that_the_teacher_was_not_shown_is_not_sent(desk, answer, teacher, root, named):
    rating = tap(answer, teacher, root, is_good=True)
    desk.post(reverse("outgoing"), {"rating": named.format(id=rating.record_id)})
    assert (Rating.objects.get().sharing, Parcel.objects.count()) == ("held", 0)


def test_nobody_sends_a_colleagues_rating(answer, teacher, root):
    rating = tap(answer, teacher, root, is_good=True)
    with pytest.raises(RatingRefused):
        rating_send(record_id=rating.record_id, revision=1, teacher=colleague(), now=NOW, root=root)
    assert not Parcel.objects.exists()


def test_a_rating_is_sent_once(answer, teacher, root):
    rating = tap(answer, teacher, root, is_good=True)
    rating_send(record_id=rating.record_id, revision=1, teacher=teacher, now=NOW, root=root)
    with pytest.raises(RatingRefused):
        rating_send(record_id=rating.record_id, revision=1, teacher=teacher, now=NOW, root=root)
    assert Parcel.objects.count() == 1


def test_of_a_rating_that_never_left_the_centre_hears_no_withdrawal_either(answer, teacher, root):
    rating_withdraw(rating=tap(answer, teacher, root, is_good=True), now=NOW)
    assert (Rating.objects.active().count(), Parcel.objects.count()) == (0, 0)


def test_who_keeps_at_the_school_what_was_sent_takes_it_back_first(desk, answer, teacher, root):
    rating_record(answer=answer, teacher=teacher, opinion=Opinion(stars=2, correction="Душанбе."), now=NOW, root=root)
    desk.post(reverse("rate", args=[answer.pk]), {"stars": "2", "correction": "Душанбе.", "step": "keep"})
    assert [parcel.kind for parcel in Parcel.objects.order_by("seq")] == ["tombstone", "tombstone"]
    assert "Душанбе" not in spoken()
    assert [(rating.sharing, rating.revision) for rating in Rating.objects.active()] == [("held", 1)]
    assert "То он даме ки нафиристед" in desk.get(reverse("corrections")).text


def test_more_words_are_masked_in_what_is_shown_kept_and_sent_and_stay_masked_at_the_next_edit(desk, answer):
    question = answer.turn
    question.question = "Дар деҳаи Оббурдон кадом дарё ҷорист?"
    question.save()
    filled = {"stars": "2", "correction": "Зарафшон, назди Оббурдон.", "masked_words": "Оббурдон\n\n"}
    path = reverse("rate", args=[answer.pk])
    shown = desk.post(path, {**filled, "step": "preview"}).text
    assert "Дар деҳаи <mark>[пинҳон]</mark> кадом" in shown
    desk.post(path, {**filled, "step": "send"})
    assert "Оббурдон" not in spoken()
    assert Rating.objects.get().correction == "Зарафшон, назди [пинҳон]."
    assert ">\nОббурдон</textarea>" in desk.get(path).text
    desk.post(path, {**filled, "stars": "1", "step": "send"})
    assert "Оббурдон" not in spoken()


def test_too_many_words_to_mask_are_refused_and_nothing_is_kept(desk, answer):
    words = "\n".join(f"калима{number}" for number in range(51))
    shown = desk.post(reverse("rate", args=[answer.pk]), {"stars": "2", "masked_words": words, "step": "send"}).text
    assert "Калимаҳо аз ҳад зиёданд" in shown
    assert not Rating.objects.exists()


def test_a_pupils_name_is_masked_without_being_pointed_at(answer, teacher, root, school_class):
    pupil_of(school_class)
    answer.turn.question = "Ман Ҷамила Каримоваам, ба Ҷамилаҷон гӯед"
    answer.turn.save()
    assert tap(answer, teacher, root, is_good=True).question == "Ман [ном] [ном]ам, ба [ном]ҷон гӯед"


def test_a_teacher_sees_the_own_class_guests_and_the_own_questions_and_no_others(desk, teacher, school_class):
    foreign = class_create(name="7Б")
    other = colleague()
    seen = [answer_make(), answer_to(teacher), answer_to(pupil_of(school_class))]
    hidden = [answer_to(pupil_of(foreign)), answer_to(other), answer_to(colleague("sarvar", Role.HEAD))]
    for answer in seen:
        assert desk.get(reverse("rate", args=[answer.pk])).status_code == 200
    for answer in hidden:
        assert desk.get(reverse("rate", args=[answer.pk])).status_code == 404
        assert desk.post(reverse("rate", args=[answer.pk]), {"stars": "1", "step": "send"}).status_code == 404
        assert desk.post(reverse("tap", args=[answer.pk]), {"good": "1"}).status_code == 404
    assert not Rating.objects.exists()


def test_the_form_begins_with_the_grade_of_the_class_that_asked(desk, school_class):
    asked = desk.get(reverse("rate", args=[answer_to(pupil_of(school_class)).pk])).context["form"]
    assert asked.initial["grade"] == 6
    assert desk.get(reverse("rate", args=[answer_make().pk])).context["form"].initial["grade"] == 0


def test_a_teacher_can_mend_a_rating_after_the_pupil_has_moved_to_another_class(desk, teacher, root, school_class):
    person = pupil_of(school_class)
    rated, unrated = answer_to(person), answer_to(person)
    tap(rated, teacher, root, is_good=True)
    pupil_move(pupil=person.pupil, school_class=class_create(name="7Б"))
    assert desk.get(reverse("rate", args=[rated.pk])).status_code == 200
    assert desk.get(reverse("rate", args=[unrated.pk])).status_code == 404


def test_the_head_sees_every_pupil_and_no_teacher(client, root, teacher, school_class):
    head = colleague("sarvar", Role.HEAD)
    client.force_login(head)
    assert client.get(reverse("rate", args=[answer_to(pupil_of(school_class)).pk])).status_code == 200
    assert client.get(reverse("rate", args=[answer_to(teacher).pk])).status_code == 404


def test_the_queue_says_why_an_answer_stands_first(desk, now_answers):
    now_answers("Оддӣ?")
    for text in ("а", "б", "в"):
        now_answers("Об чист?", text=text)
    shown = desk.get(reverse("queue")).text
    assert shown.index("Об чист?") < shown.index("Оддӣ?")
    assert "Модел дудила буд" in shown
    assert "3 бор пурсиданд" in shown
    assert "Чӣ тавр баҳо додан лозим" in shown


@pytest.fixture
def now_answers(db):
    def make(question, **fields):
        return answer_make(question=question, finished_at=timezone.now(), **fields)

    return make


def test_a_class_is_shown_by_its_topics_and_bad_answers_and_never_by_its_pupils(
    desk, teacher, root, school_class, now_answers
):
    for number, name in enumerate(("Ҷамила", "Комрон", "Азиз")):
        answer = now_answers(f"Фотосинтез чист {number}? Ман {name}")
        person = pupil_of(school_class, name)
        turn = answer.turn
        Conversation.objects.filter(pk=turn.conversation_id).update(person=person)
        turn.asked_at = answer.finished_at
        turn.save()
    tap(answer, teacher, root, is_good=False)
    shown = desk.get(reverse("class-view", args=[school_class.pk])).text
    assert "фотосинтез" in shown
    assert "Ман <mark>[ном]</mark>" in shown
    for name in ("Ҷамила", "Комрон", "Азиз", "Каримова"):
        assert name.casefold() not in shown.casefold()
    assert desk.get(reverse("class-view", args=[class_create(name="9В").pk])).status_code == 404
    assert reverse("class-view", args=[school_class.pk]) in desk.get(reverse("classes")).text


def test_a_teacher_asks_again_and_sees_what_the_model_answers_now(desk, answer, teacher, root):
    rating = rating_record(
        answer=answer, teacher=teacher, opinion=Opinion(stars=1, correction="Душанбе."), now=NOW, root=root
    )
    assert "Модел ҳоло чунин ҷавоб медиҳад" not in desk.get(reverse("corrections")).text
    asked = desk.post(reverse("ask-again", args=[rating.record_id]))
    conversation = Conversation.objects.get(person=teacher)
    assert asked.url == reverse("conversation", args=[conversation.pk])
    turn = conversation.turns.get()
    assert turn.question == answer.turn.question
    Answer.objects.filter(turn=turn).update(
        status="finished", release="d" * 64, release_version=7, text="Шаҳри Душанбе.", finished_at=turn.asked_at
    )
    shown = desk.get(reverse("corrections")).text
    assert "Модел ҳоло чунин ҷавоб медиҳад (нашри 7" in shown
    assert "Шаҳри Душанбе." in shown


def test_nobody_asks_a_colleagues_correction_again(desk, answer, root):
    rating = rating_record(answer=answer, teacher=colleague(), opinion=Opinion(stars=1), now=NOW, root=root)
    assert desk.post(reverse("ask-again", args=[rating.record_id])).status_code == 404
    assert desk.post(reverse("withdraw", args=[rating.record_id])).status_code == 404
    assert Rating.objects.active().exists()


def test_the_bar_under_an_answer_shows_what_the_teacher_tapped(desk, teacher, root):
    answer = answer_to(teacher)
    path = reverse("conversation", args=[answer.turn.conversation_id])
    assert 'aria-pressed="true">Бад' not in desk.get(path).text
    tap(answer, teacher, root, is_good=False)
    assert 'aria-pressed="true">Бад' in desk.get(path).text


def test_a_pupil_sees_no_bar(client, root, school_class):
    slots_write(root, Slots(current=RELEASE, phase=Phase.COMMITTED))
    pupil = pupil_of(school_class)
    client.force_login(pupil)
    assert (
        'class="rating"' not in client.get(reverse("conversation", args=[answer_to(pupil).turn.conversation_id])).text
    )

"""Ratings at the centre: reviewed, masked, erased, told apart by agreement, and read out as data sets."""

import json
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from central.feedback.agreement import ordinal_alpha
from central.feedback.agreement_count import agreement_count
from central.feedback.datasets import DataSet, Judged, dataset_row
from central.feedback.erasure import school_ratings_erase, teacher_ratings_erase
from central.feedback.errors import CorrectionMissing, NothingMasked, TeacherUnknown
from central.feedback.export import dataset_lines
from central.feedback.models import Rating, ReceivedParcel, ReviewStatus, SubjectAgreement
from central.feedback.review import rating_accept, rating_erase, rating_mask, rating_reject
from central.schools.errors import StatusConflict, StatusMoveIllegal
from central.schools.models import AuditEvent, School
from central.training.gate_pairs import corrections_choose
from federation.wire.feedback import ParcelKind
from tests.central.school import rating_parcel
from tests.central.seasons import collecting, season_small

REVIEW = "/admin/feedback/rating/review/"
# Four observers and twelve units, a dot where one said nothing.
PUBLISHED = ("1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 .")


@pytest.fixture
def rating(school):
    school.receipt(rating_parcel(1))
    return Rating.objects.get()


@pytest.fixture
def staff(client, db):
    client.force_login(get_user_model().objects.create_superuser("Гулнора", password="x"))
    return client


def say(school, seq, *, record=None, revision=1, **words):
    parcel = rating_parcel(seq, record_id=record or f"record-{seq}", revision=revision)
    return school.receipt(
        rating_parcel(seq, record_id=parcel.record_id, revision=revision, body={**parcel.body, **words})
    )


def accept(rating, *, correction=None, revision=None):
    wording = rating.correction if correction is None else correction
    rating_accept(
        rating=rating, revision=revision or rating.revision, correction=wording, actor="Гулнора", now=timezone.now()
    )
    rating.refresh_from_db()


def audit(rating):
    rows = AuditEvent.objects.filter(entity=f"feedback.rating {rating.pk}").order_by("pk")
    return list(rows.values_list("actor", "old", "new", "reason"))


def bodies():
    return [body for body in ReceivedParcel.objects.values_list("body", flat=True) if body]


# Agreement


def test_alpha_is_the_published_one():
    columns = zip(*(line.split() for line in PUBLISHED), strict=True)
    units = [[int(value) for value in column if value != "."] for column in columns]
    # Krippendorff 2011, section E, gives 0.815 for the ordinal metric.
    assert ordinal_alpha(units) == pytest.approx(0.815, abs=5e-4)


@pytest.mark.parametrize(
    ("units", "alpha"), [([], None), ([[5]], None), ([[4, 4], [4, 4]], None), ([[1, 1], [5, 5, 5]], 1.0)]
)
def test_alpha_says_nothing_where_nothing_can_be_said(units, alpha):
    assert ordinal_alpha(units) == alpha


def test_agreement_counts_each_teacher_once_and_only_shared_answers(school, other_school):
    say(school, 1, stars=1)
    say(school, 2, stars=5)
    say(other_school, 1, stars=5, teacher="c" * 64)
    say(other_school, 2, stars=1, teacher="c" * 64, question="Танҳо як муаллим", subject="забон")

    agreement_count(now=timezone.now())

    (agreement,) = SubjectAgreement.objects.all()
    assert (agreement.subject, agreement.turns, agreement.ratings, agreement.alpha) == ("география", 1, 2, None)


# Judgements


def test_an_accepted_rating_keeps_the_teachers_words_and_has_one_audit_row_without_any(rating):
    accept(rating)

    assert (rating.status, rating.edited_correction) == (ReviewStatus.ACCEPTED, "")
    assert audit(rating) == [("Гулнора", "waiting", "accepted", "")]


def test_an_edit_stands_beside_the_teachers_words(rating):
    accept(rating, correction="Душанбе.")

    assert (rating.wording, rating.correction) == ("Душанбе.", rating_parcel(1).body["correction"])
    assert audit(rating) == [("Гулнора", "waiting", "accepted", "edited")]


def test_a_correction_cannot_be_edited_away(rating):
    with pytest.raises(CorrectionMissing):
        accept(rating, correction=" \n")
    rating.refresh_from_db()
    assert (rating.status, audit(rating)) == (ReviewStatus.WAITING, [])


def test_a_revision_that_came_meanwhile_is_not_judged_unseen(school, rating):
    say(school, 2, record="record-1", revision=2, stars=2)

    with pytest.raises(StatusConflict):
        accept(rating, revision=1)
    assert Rating.objects.get().status == ReviewStatus.WAITING


def test_of_two_reviewers_the_second_is_told_that_the_first_has_judged(rating):
    seen = Rating.objects.get()
    rating_reject(rating=rating, revision=1, actor="Зарина", now=timezone.now())

    with pytest.raises(StatusConflict):
        accept(seen)
    with pytest.raises(StatusMoveIllegal):
        rating_reject(rating=Rating.objects.get(), revision=1, actor="Зарина", now=timezone.now())
    assert Rating.objects.get().status == ReviewStatus.REJECTED


def test_a_new_revision_waits_for_review_again_and_the_audit_says_why(school, rating):
    accept(rating, correction="Душанбе.")
    say(school, 2, record="record-1", revision=2, stars=4)

    rating.refresh_from_db()
    assert (rating.status, rating.edited_correction, rating.stars) == (ReviewStatus.WAITING, "", 4)
    assert audit(rating)[-1] == ("node", "accepted", "waiting", "revision 2")


def test_a_deletion_by_the_teacher_takes_an_accepted_rating_out_of_every_data_set(school, rating):
    accept(rating, correction="Душанбе.")
    school.receipt(rating_parcel(2, record_id="record-1", revision=2, kind=ParcelKind.TOMBSTONE, body={}))

    rating.refresh_from_db()
    assert (rating.is_deleted, rating.status, rating.edited_correction) == (True, ReviewStatus.WAITING, "")
    assert not Rating.objects.accepted().exists()


# Personal data


def mask(rating, **words):
    said = {name: getattr(rating, name) for name in ("question", "answer", "correction")} | words
    rating_mask(rating=rating, revision=rating.revision, actor="Гулнора", now=timezone.now(), **said)
    rating.refresh_from_db()


def test_masked_words_go_from_the_rating_and_from_the_parcel_for_good(school):
    say(school, 1, question="Ман Фарҳоди Раҳим ҳастам")
    rating = Rating.objects.get()

    mask(rating, question="Ман [ном] ҳастам")

    assert (rating.question, rating.status) == ("Ман [ном] ҳастам", ReviewStatus.ACCEPTED)
    assert (bodies(), audit(rating)) == ([], [("Гулнора", "waiting", "accepted", "masked")])
    # The school's disk was restored, and says it all again under a new numbering.
    school.epoch = "epoch-2"
    say(school, 1, question="Ман Фарҳоди Раҳим ҳастам")
    rating.refresh_from_db()
    assert (rating.question, bodies()) == ("Ман [ном] ҳастам", [])


def test_words_that_are_the_same_mask_nothing(rating):
    with pytest.raises(NothingMasked):
        mask(rating)
    rating.refresh_from_db()
    assert (rating.status, len(bodies()), audit(rating)) == (ReviewStatus.WAITING, 1, [])


def test_an_erased_rating_stays_erased_whatever_comes_again(school, rating):
    rating_erase(rating=rating, revision=1, actor="Гулнора", now=timezone.now())
    say(school, 2, record="record-1", revision=2)

    rating.refresh_from_db()
    assert (rating.is_deleted, rating.question, rating.teacher, bodies()) == (True, "", "", [])
    assert ("Гулнора", "", "erased", "personal data") in audit(rating)


def test_a_teachers_erasure_leaves_colleagues_alone_and_finds_quarantined_words(school):
    say(school, 1)
    say(school, 2, teacher="d" * 64)
    say(school, 3, stars=9)
    assert ReceivedParcel.objects.filter(status="quarantined").count() == 1

    found, erased = teacher_ratings_erase(teacher="b" * 64, actor="test", reason="on request", now=timezone.now())

    assert (found.name, erased) == ("Мактаби №1", 1)
    assert [body["teacher"] for body in bodies()] == ["d" * 64]
    assert Rating.objects.with_words().get().teacher == "d" * 64
    with pytest.raises(TeacherUnknown):
        teacher_ratings_erase(teacher="", actor="test", reason="", now=timezone.now())


def test_a_schools_erasure_leaves_other_schools_alone(school, other_school):
    say(school, 1)
    say(school, 2, stars=9)
    say(other_school, 1, stars=5)

    erased = school_ratings_erase(
        school=School.objects.get(name="Мактаби №1"), actor="test", reason="", now=timezone.now()
    )

    assert erased == 1
    assert [body["stars"] for body in bodies()] == [5]
    assert Rating.objects.with_words().get().node.school.name == "Мактаби №2"


def test_the_command_says_what_was_erased_and_what_stays(rating):
    out = StringIO()
    call_command("ratings_erase", "--school", "Мактаби №1", "--json", stdout=out)

    assert json.loads(out.getvalue()) == {"erased": 1, "school": "Мактаби №1", "traces": []}
    assert not Rating.objects.with_words().exists()


# What becomes of it


@pytest.mark.parametrize(
    ("dataset", "stars", "correction", "said"),
    [
        (DataSet.SFT, 1, "Дуруст", {"completion": "Дуруст"}),
        (DataSet.SFT, 4, "", {"completion": "Нодуруст"}),
        (DataSet.SFT, 3, "", None),
        (DataSet.DPO, 1, "Дуруст", {"chosen": "Дуруст", "rejected": "Нодуруст"}),
        (DataSet.DPO, 1, "Нодуруст", None),
        (DataSet.DPO, 5, "", None),
        (DataSet.KTO, 1, "Дуруст", {"completion": "Нодуруст", "label": False}),
        (DataSet.KTO, 5, "", {"completion": "Нодуруст", "label": True}),
        (DataSet.KTO, 3, "", None),
    ],
)
def test_a_row_has_the_names_that_trl_reads_and_none_that_tells_of_people(dataset, stars, correction, said):
    row = dataset_row(
        judged=Judged(question="Савол", answer="Нодуруст", stars=stars, correction=correction), dataset=dataset
    )

    if said is None:
        assert row is None
        return
    assert row.pop("prompt") == [{"role": "user", "content": "Савол"}]
    words = {name: value if name == "label" else value[0]["content"] for name, value in row.items()}
    assert words == said
    assert all(value[0]["role"] == "assistant" for name, value in row.items() if name != "label")


def test_only_accepted_ratings_are_read_out_and_edited_ones_as_edited(school):
    for seq in (1, 2, 3):
        say(school, seq)
    edited, rejected, _waiting = Rating.objects.order_by("pk")
    accept(edited, correction="Душанбе.")
    rating_reject(rating=rejected, revision=1, actor="Гулнора", now=timezone.now())

    (line,) = dataset_lines(ratings=Rating.objects.all(), dataset=DataSet.DPO)
    assert json.loads(line)["chosen"] == [{"role": "assistant", "content": "Душанбе."}]
    assert "Душанбе" in line


def test_the_gate_measures_what_reviewers_left_and_as_they_put_it(school, disk):
    season = season_small(wanted=1)
    for seq in (1, 2, 3):
        say(school, seq)
    edited, rejected, waiting = Rating.objects.order_by("pk")
    accept(edited, correction="Душанбе.")
    rating_reject(rating=rejected, revision=1, actor="Гулнора", now=timezone.now())

    answers = [pair.answer for pair in corrections_choose(collecting(season))]
    assert sorted(answers) == sorted(["Душанбе.", waiting.correction])


def test_the_command_writes_the_rows_and_says_how_many(rating, tmp_path):
    accept(rating)
    out, file = StringIO(), tmp_path / "sft.jsonl"
    call_command("ratings_export", "--for", "sft", "--out", str(file), "--json", stdout=out)

    assert json.loads(out.getvalue()) == {"rows": 1}
    assert json.loads(file.read_text())["prompt"][0]["content"] == rating.question
    event = AuditEvent.objects.get(new="downloaded")
    assert (event.actor, event.entity, event.reason) == ("command line", "feedback.rating data set", "sft, 1")


# Pages


def test_the_queue_shows_the_next_rating_after_each_judgement(school, staff):
    for seq in (1, 2, 3):
        say(school, seq, correction=f"Ислоҳи {seq}", question=f"Саволи {seq}")
    first, second, third = Rating.objects.order_by("pk")

    answer = staff.get(REVIEW)
    assert (answer.context["rating"], answer.context["waiting"]) == (first, "3")
    said = {"rating": first.pk, "revision": 1, "correction": "Ислоҳи беҳтар", "decision": "accept"}
    answer = staff.post(REVIEW, said, follow=True)
    assert answer.context["rating"] == second
    answer = staff.get(REVIEW + answer.context["skip"])
    assert answer.context["rating"] == third
    said = {"rating": third.pk, "revision": 1, "correction": third.correction, "decision": "reject"}
    answer = staff.post(answer.wsgi_request.get_full_path(), said, follow=True)
    assert (answer.context["rating"], answer.context["waiting"]) == (None, "1")
    assert staff.get(REVIEW + answer.context["from_start"]).context["rating"] == second

    first.refresh_from_db()
    third.refresh_from_db()
    assert (first.wording, third.status) == ("Ислоҳи беҳтар", ReviewStatus.REJECTED)


def test_a_refusal_on_the_page_says_so_and_changes_nothing(rating, staff):
    said = {"rating": rating.pk, "revision": 7, "correction": "x", "decision": "accept"}
    answer = staff.post(REVIEW, said, follow=True)

    assert [message.level_tag for message in answer.context["messages"]] == ["error"]
    assert answer.context["rating"] == rating
    assert Rating.objects.get().status == ReviewStatus.WAITING


def test_whoever_may_only_look_judges_nothing(rating, client):
    user = get_user_model().objects.create_user("нозир", password="x", is_staff=True)
    client.force_login(user)

    assert client.get(REVIEW).status_code == 403
    said = {"rating": rating.pk, "revision": 1, "correction": "x", "decision": "erase"}
    assert client.post(REVIEW, said).status_code == 403
    assert not Rating.objects.get().is_deleted


def test_the_queue_takes_as_many_queries_for_many_ratings_as_for_few(school, staff):
    say(school, 1)
    staff.get(REVIEW)
    with CaptureQueriesContext(connection) as few:
        staff.get(REVIEW)
    for seq in range(2, 30):
        say(school, seq)
    with CaptureQueriesContext(connection) as many:
        staff.get(REVIEW)

    assert 0 < len(many) <= len(few)


def test_actions_download_and_erase_what_is_chosen(school, staff):
    say(school, 1)
    say(school, 2, teacher="e" * 64)
    first, second = Rating.objects.order_by("pk")
    accept(first)
    place = "/admin/feedback/rating/"

    answer = staff.post(place, {"action": "export_dpo", "_selected_action": [first.pk, second.pk]})
    assert answer["Content-Type"].startswith("application/jsonl")
    assert len(b"".join(answer.streaming_content).splitlines()) == 1
    staff.post(place, {"action": "erase", "_selected_action": [first.pk]})
    staff.post(place, {"action": "erase_teachers", "_selected_action": [second.pk]})

    assert not Rating.objects.with_words().exists()
    assert bodies() == []

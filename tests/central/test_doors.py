"""Every door of the centre says who may come in, and every admin page opens."""

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.urls import get_resolver
from django.utils import timezone
from rest_framework.views import APIView

from central.courier.models import RefusedRequest, Trip
from central.feedback.models import CloneAlarm
from central.programs.models import ProgramStanding
from central.programs.services import program_publish
from central.releases.models import Release
from central.rollouts.models import Rollout
from central.schools.models import Node
from central.training.models import FlowerRun, OptOut, PrivacyCharge, Season
from federation.errors import FederationError
from tests.central import test_identity, test_rollouts
from tests.central.school import rating_parcel
from tests.central.seasons import collecting, season_small, take_in, update_of
from tests.central.test_rollout_admin import PLAN

OPEN_DOORS = {
    "AuthorityView",
    "EnrolmentView",
    "HealthView",
    "KeyView",
    "NonceView",
    "OpenApiView",
    "ReadinessView",
    "SessionView",
    "TimeView",
    "TufView",
}
NOT_FOR_NODES = {"RedirectView", "set_language"}


def _views(patterns):
    for pattern in patterns:
        if hasattr(pattern, "url_patterns"):
            if pattern.namespace != "admin" and pattern.app_name != "admin":
                yield from _views(pattern.url_patterns)
        else:
            yield pattern.callback


def test_every_view_says_itself_how_it_authenticates():
    open_doors = set()
    for view in _views(get_resolver("central.urls").url_patterns):
        kind = getattr(view, "view_class", None) or getattr(view, "cls", None)
        if kind is None or not issubclass(kind, APIView):
            assert (kind.__name__ if kind else view.__name__) in NOT_FOR_NODES
            continue
        assert "authentication_classes" in _own(kind), kind
        assert "permission_classes" in _own(kind), kind
        if not kind.authentication_classes:
            open_doors.add(kind.__name__)
    assert open_doors == OPEN_DOORS


def _own(kind):
    return {name for each in kind.__mro__ if each.__module__.startswith("central.") for name in vars(each)}


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["check-ins", "parcels", "leases"])
def test_a_door_without_a_token_or_with_a_wrong_one_answers_401(client, path):
    assert client.post(f"/api/v1/{path}").status_code == 401
    answer = client.post(f"/api/v1/{path}", headers={"Authorization": "Bearer wrong"})
    assert (answer.status_code, answer.json()["code"]) == (401, "session_unknown")


@pytest.fixture
def full_centre(school, other_school, disk, tmp_path):
    """One row of everything."""
    release = test_rollouts.release_make(1)
    test_rollouts._running(release)
    school.receipt(rating_parcel(1))
    school.send_parcels(rating_parcel(1, event_id="another"))
    school.install()
    season = season_small(base=release)
    take_in(update_of(school, season), disk)
    plan, round_ = season.plans.get(), collecting(season)
    school.post("leases", b'{"plan_id": "%s"}' % plan.plan_id.encode())
    FlowerRun.objects.create(round=round_, flwr_run_id="7")
    PrivacyCharge.objects.create(
        school=round_.updates.get().node.school,
        round=round_,
        noise_multiplier=1.0,
        clip_norm=2.0,
        sigma=128.0,
        rounds=1,
        epsilon=4.4,
        delta=1e-5,
        charged_at=timezone.now(),
    )
    OptOut.objects.create(school=Node.objects.get(pk=other_school.node_id).school, actor="t", at=timezone.now())
    test_identity.rotate(other_school, new=test_identity.new_key())
    assert CloneAlarm.objects.exists()
    problem = {"sender": "a" * 64, "school": "Мактаби №1", "kind": "parcels", "code": "letter_unreadable"}
    Trip.objects.create(kind="from_schools", place="stick", actor="t", at=timezone.now(), problems=[problem])
    RefusedRequest.objects.create(
        key_id="b" * 64, public_key="", code="claim_code_unknown", hostname="pc", received_at=timezone.now()
    )
    (tmp_path / "program" / "wheels").mkdir(parents=True)
    (tmp_path / "program" / "wheels" / "own.whl").write_bytes(b"program")
    program_publish(version="1-a", folders={"cp311": tmp_path / "program"}, disk=disk, actor="t", now=timezone.now())
    ProgramStanding.objects.create(
        node_id=school.node_id, version="1-a", failed="2-b", code="program_page_silent", heard_at=timezone.now()
    )


@pytest.mark.parametrize("language", ["tg", "ru", "en"])
def test_every_admin_page_opens(client, full_centre, language):
    client.force_login(get_user_model().objects.create_superuser("admin", password="x"))
    headers = {"Accept-Language": language}
    assert client.get("/admin/", headers=headers).status_code == 200
    empty = []
    for model in admin.site._registry:
        place = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        assert client.get(place, headers=headers).status_code == 200, place
        row = model._default_manager.first()
        if row is None:
            empty.append(model._meta.model_name)
            continue
        assert client.get(f"{place}{row.pk}/change/", headers=headers).status_code == 200, place
    assert set(empty) <= {"ratingtrend", "schoolfilter", "subjectagreement"}


@pytest.mark.django_db
@pytest.mark.parametrize("place", ["releases/release", "rollouts/rollout", "training/season", "schools/school"])
def test_the_pages_to_add_something_open(client, place):
    client.force_login(get_user_model().objects.create_superuser("admin", password="x"))
    assert client.get(f"/admin/{place}/add/").status_code == 200


def test_a_person_plans_a_rollout_and_may_not_approve_it_alone(client, full_centre):
    user = get_user_model().objects.create_superuser("Гулнора", password="x")
    client.force_login(user)
    release = test_rollouts.release_make(2)
    waves = {"form-0-whom": "list", "form-0-schools": "Мактаби №1", "form-1-whom": "percent", "form-1-number": 100}
    answer = client.post("/admin/rollouts/rollout/add/", {**PLAN, "release": release.pk, **waves})
    assert answer.status_code == 302
    rollout = Rollout.objects.first()
    assert (rollout.release, rollout.waves.count(), rollout.created_by) == (release, 2, "Гулнора")
    for name in ("submit", "approve"):
        client.post(f"/admin/rollouts/rollout/{rollout.pk}/step/{name}/")
    rollout.refresh_from_db()
    assert rollout.status == "pending_approval"
    client.force_login(get_user_model().objects.create_superuser("Фирдавс", password="x"))
    client.post(f"/admin/rollouts/rollout/{rollout.pk}/step/approve/")
    rollout.refresh_from_db()
    assert (rollout.status, rollout.approved_by) == ("scheduled", "Фирдавс")


def test_a_person_invites_a_school_and_sees_the_code_once(client, full_centre):
    client.force_login(get_user_model().objects.create_superuser("admin", password="x"))
    answer = client.post("/admin/schools/school/", {"action": "invite", "_selected_action": 1}, follow=True)
    assert answer.status_code == 200
    shown = [str(message) for message in answer.context["messages"]]
    assert len(shown) == 1


def test_a_person_makes_a_draft_and_opens_a_season(client, keys, db):
    client.force_login(get_user_model().objects.create_superuser("admin", password="x"))
    client.post("/admin/releases/release/add/", {"title": "Soro 1", "checkpoint": ""}, follow=True)
    assert Release.objects.get().status == "draft"
    base = test_rollouts.release_make(2, card={"slots": [{"name": "layers.0.o", "d_in": 4, "d_out": 4}]})
    chosen = {
        "mode": "plain",
        "scheme": "ffa-lora",
        "steps": "natural",
        "fusion": "least-squares",
        "least_days": 7,
        "mode_settings": "{}",
    }
    page = client.post("/admin/training/season/add/", {"base": base.pk, "wanted": 3, **chosen}, follow=True)
    season = Season.objects.get()
    assert (season.wanted, season.slot_sizes, season.rounds.get().wanted) == (3, [["layers.0.o", 4, 4]], 3)
    assert str(season) in page.content.decode()


def _all_errors(kind=FederationError):
    for each in kind.__subclasses__():
        yield each
        yield from _all_errors(each)


def test_every_error_of_the_centre_has_a_sentence():
    from central.words import SENTENCES  # noqa: PLC0415 - after all errors are imported

    codes = {each.code for each in _all_errors() if each.__module__.startswith("central.") and hasattr(each, "code")}
    assert not {code for code in codes if code not in SENTENCES and not code.startswith("update_")}

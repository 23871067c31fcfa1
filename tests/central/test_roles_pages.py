"""Every page and every address of the admin, for every role: a new one that forgets who is asking fails here."""

import hashlib

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import Q
from django.urls import URLPattern, URLResolver
from django.urls.converters import get_converters

from central.admin_pages import ScopedAdmin, ScopedRows
from central.rollouts.steps import StepName
from central.schools.models import AuditEvent
from central.schools.reach import region_condition
from central.schools.roles import Role
from tests.central.regions import MARKS, OTHER, OWN, country, people

# Whatever they are asked, these answer for the person's own session alone.
OWN_SESSION = {
    "index",
    "jsi18n",
    "login",
    "logout",
    "password_change",
    "password_change_done",
    "search",
    "second_factor",
    "second_factor_enrol",
}
# A link for a row of any kind, which no model of the centre has an address for.
ANYWHERE = {"view_on_site", "app_list", "autocomplete"}
REVIEWERS_PAGES = {"rating", "ratingtrend", "subjectagreement"}
REFUSED = {302, 403, 404}
DATA_SET = "feedback.rating data set"


@pytest.fixture
def regions(keys, db):
    return country()[0]


@pytest.fixture
def users(db):
    return people()


def addresses():
    """Return (model admin, name, path with {pk} in place of the row) of every address of the admin's pages."""
    found = []
    for model_admin in admin.site._registry.values():
        options = model_admin.opts
        place = f"/admin/{options.app_label}/{options.model_name}/"
        found += [
            (model_admin, each.name or "", place + path) for each in model_admin.get_urls() for path in paths_of(each)
        ]
    return found


def paths_of(pattern):
    """Return the paths of a pattern of a page, whose variables are the row and the steps of a rollout."""
    route = str(pattern.pattern)
    for name, converter in pattern.pattern.converters.items():
        kind = next(key for key, each in get_converters().items() if each is converter)
        assert name in ("object_id", "id", "pk", "name"), f"say in this test what {name} of {route} is"
        value = "{name}" if name == "name" else "{pk}"
        route = route.replace(f"<{kind}:{name}>", value).replace(f"<{name}>", value)
    names = [step.value for step in StepName] if "{name}" in route else [""]
    return [route.replace("{name}", name) for name in names]


def row_of(model, region):
    """Return the row of a region, or the only one there is."""
    return model._base_manager.filter(region_condition(model, region)).order_by("pk").first()


def content(answer):
    return b"".join(answer.streaming_content).decode() if answer.streaming else answer.content.decode()


def kept(model, *, but=None):
    """Return the rows of a model, as one digest; those of the region `but` do not count."""
    rows = model._base_manager.all()
    path = getattr(model, "REGION", "*")
    if but is not None and path != "*" and not hasattr(model, "in_region"):
        rows = rows.exclude(**{path: but})
    return hashlib.sha256(repr(list(rows.order_by("pk").values())).encode()).hexdigest()


def database(**options):
    labels = [config.label for config in apps.get_app_configs() if config.name.startswith("central.")]
    models = [model for label in (*labels, "auth") for model in apps.get_app_config(label).get_models()]
    return {model._meta.label: kept(model, **options) for model in models}


def test_every_page_is_scoped_and_every_address_of_the_site_is_known():
    for model, model_admin in admin.site._registry.items():
        assert isinstance(model_admin, ScopedAdmin), model
        assert all(issubclass(inline, ScopedRows) for inline in model_admin.inlines), model
    own = {each.name for each in admin.site.get_urls() if isinstance(each, URLPattern) and each.name is not None}
    assert own <= OWN_SESSION | ANYWHERE, "scope the new address, and say here what it shows"
    assert all(isinstance(each, URLPattern | URLResolver) for each in admin.site.get_urls())


def test_a_regional_admin_sees_nothing_of_another_region_on_any_page(client, regions, users):
    client.force_login(users[Role.REGIONAL_ADMIN])
    seen = 0
    for model_admin, name, path in addresses():
        for region in MARKS:
            row = row_of(model_admin.model, region)
            address = path.format(pk=row.pk if row else 0)
            answer = client.get(address)
            assert answer.status_code in {200, *REFUSED}, address
            if answer.status_code == 200:
                shown = content(answer)
                assert MARKS[OTHER] not in shown, address
                seen += MARKS[OWN] in shown
            own_rows = getattr(model_admin.model, "REGION", "*") != "*" or hasattr(model_admin.model, "in_region")
            if "{pk}" in path and region == OTHER and own_rows:
                assert answer.status_code in REFUSED, (name, address)
    for place in admin.site.urls[0]:
        if isinstance(place, URLPattern) and place.name in {"index", "search"}:
            assert MARKS[OTHER] not in content(client.get(f"/admin/{place.pattern}", {"s": "Мактаби"}))
    assert seen > 25


def test_a_regional_admin_finds_their_own_rows_on_each_list(client, regions, users):
    client.force_login(users[Role.REGIONAL_ADMIN])
    for row in regions[OWN].rows:
        model_admin = admin.site._registry.get(type(row))
        if model_admin is None:
            continue
        options = row._meta
        answer = client.get(f"/admin/{options.app_label}/{options.model_name}/")
        assert row in answer.context["cl"].queryset, row
        assert client.get(f"/admin/{options.app_label}/{options.model_name}/{row.pk}/change/").status_code == 200


def ask_everything(client, regions, region):
    """Ask every address, and every action of every list, about the rows of a region, to write what it would."""
    for model_admin, _name, path in addresses():
        row = row_of(model_admin.model, region)
        pk = row.pk if row else 0
        client.post(path.format(pk=pk), {})
        if not path.endswith("/change/"):
            continue
        changelist = path.partition("{pk}")[0]
        for action in {*(model_admin.actions or ()), "delete_selected"}:
            client.post(changelist, {"action": action, "_selected_action": [pk], "post": "yes"})


def test_an_auditor_reads_every_page_and_writes_nothing(client, regions, users):
    client.force_login(users[Role.AUDITOR])
    before = database()
    for model_admin, name, path in addresses():
        if "{pk}" not in path and name.endswith("_changelist"):
            assert client.get(path).status_code == 200, path
        row = row_of(model_admin.model, OTHER) or model_admin.model._base_manager.first()
        if path.endswith("/change/") and row is not None:
            answer = client.get(path.format(pk=row.pk))
            assert answer.status_code == 200, path
            assert not answer.context.get("show_save"), path
    ask_everything(client, regions, OTHER)
    assert database() == before


def test_a_regional_admin_changes_nothing_of_another_region_by_any_address(client, regions, users):
    client.force_login(users[Role.REGIONAL_ADMIN])
    before = database(but=OWN)
    trail = AuditEvent.objects.count()
    ask_everything(client, regions, OTHER)
    after = database(but=OWN)
    # Writing a stick asks for nothing, and is then for all schools of the own region; a data set is then empty.
    own = Q(entity__startswith="courier.trip") | Q(entity=DATA_SET)
    assert AuditEvent.objects.exclude(own).count() == trail
    assert {label for label in before if before[label] != after[label]} <= {"schools.AuditEvent"}


def test_a_reviewer_opens_the_ratings_alone(client, regions, users):
    client.force_login(users[Role.REVIEWER])
    before, trail = database(), AuditEvent.objects.count()
    for model_admin, name, path in addresses():
        if name.endswith("_changelist"):
            expected = 200 if model_admin.opts.model_name in REVIEWERS_PAGES else 403
            assert client.get(path).status_code == expected, path
    assert "schools/school/" not in content(client.get("/admin/"))
    ask_everything(client, regions, OTHER)
    after = database()
    assert {label for label in before if before[label] != after[label]} <= {"schools.AuditEvent"}
    assert AuditEvent.objects.exclude(entity=DATA_SET).count() == trail


def test_an_account_without_a_role_sees_no_row(client, regions, django_user_model):
    nobody = django_user_model.objects.create_user("nobody", password="x", is_staff=True)
    from django.contrib.auth.models import Permission  # noqa: PLC0415

    nobody.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(nobody)
    for mark in MARKS.values():
        assert mark not in content(client.get("/admin/schools/school/"))

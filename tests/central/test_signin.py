"""Signing in: lockout, the second factor, and what is behind it."""

import re
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from central.schools.errors import RoleReadsOnly
from central.schools.models import AuditEvent
from central.schools.roles import Role
from central.signin.checks import second_factor_check
from central.signin.errors import SecondFactorLocked, SecondFactorWrong, SignInLocked
from central.signin.lockout import OF_ADDRESS, OF_NAME, OF_NAME_AT_ADDRESS, WINDOW
from central.signin.models import FailedSignIn, RecoveryCode
from central.signin.services import (
    code_take,
    factor_begin,
    factor_confirm,
    factor_forget,
    failures_expire,
    signin_expect,
    signin_fail,
    signin_succeed,
)
from tests.central.conftest import NOW
from tests.central.regions import account

PASSWORD = "a password of words"
CODE = re.compile(r"[0-9A-Z]{5}-[0-9A-Z]{5}")


@pytest.fixture
def zarina(db):
    user = account("зарина", Role.NATIONAL_ADMIN)
    user.set_password(PASSWORD)
    user.save()
    return user


@pytest.fixture
def telephone(zarina):
    """The app on a telephone that is enrolled, and the recovery codes."""
    app = Telephone(factor_begin(user=zarina))
    app.recovery = factor_confirm(user=zarina, code=app.code(), now=timezone.now())
    return app


class Telephone:
    def __init__(self, device):
        self.device = device

    def code(self, steps=0):
        """Return what the app shows now, or so many steps of 30 seconds later."""
        totp = TOTP(self.device.bin_key)
        totp.time = time.time() + 30 * steps
        return f"{totp.token():06}"


def wrong(code):
    return f"{(int(code) + 1) % 10**6:06}"


def sign_in(client, name="зарина", password=PASSWORD, **options):
    return client.post("/admin/login/?next=/admin/", {"username": name, "password": password}, **options)


def is_in(client):
    return client.get("/admin/schools/school/").status_code == 200


def test_the_fifth_wrong_password_locks_the_name_at_its_address_and_nobody_else_there(client, zarina):
    account("далер", Role.AUDITOR)
    User.objects.filter(username="далер").update(password=zarina.password)
    for _ in range(OF_NAME_AT_ADDRESS):
        assert sign_in(client, password="wrong").status_code == 200
    answer = sign_in(client, headers={"Accept-Language": "en"})
    assert "wait 15 minutes" in answer.content.decode()
    assert not is_in(client)
    assert FailedSignIn.objects.count() == OF_NAME_AT_ADDRESS
    assert AuditEvent.objects.filter(entity="auth.user зарина", new="locked").count() == 1
    assert sign_in(client, "далер").status_code == 302
    client.logout()
    assert sign_in(client, REMOTE_ADDR="10.0.0.9").status_code == 302


def test_a_lock_ends_by_itself(db):
    for _ in range(OF_NAME_AT_ADDRESS):
        signin_fail(name="Зарина", address="a", now=NOW)
    with pytest.raises(SignInLocked):
        signin_expect(name="зарина", address="a", now=NOW + WINDOW - timedelta(seconds=1))
    signin_expect(name="зарина", address="a", now=NOW + WINDOW)
    failures_expire(now=NOW + WINDOW)
    assert not FailedSignIn.objects.exists()


def test_a_right_password_forgets_what_failed_there(db):
    for address in ("a", "b"):
        for _ in range(OF_NAME_AT_ADDRESS - 1):
            signin_fail(name="зарина", address=address, now=NOW)
    signin_succeed(name="зарина", address="a")
    assert set(FailedSignIn.objects.values_list("address", flat=True)) == {"b"}


@pytest.mark.parametrize(("count", "name", "address"), [(OF_NAME, "зарина", "{n}"), (OF_ADDRESS, "{n}", "a")])
def test_many_addresses_or_many_names_meet_the_wide_bounds(db, count, name, address):
    FailedSignIn.objects.bulk_create(
        FailedSignIn(name=name.format(n=n), address=address.format(n=n), at=NOW) for n in range(count - 1)
    )
    signin_expect(name="зарина", address="a", now=NOW)
    signin_fail(name=name.format(n="x"), address=address.format(n="x"), now=NOW)
    with pytest.raises(SignInLocked):
        signin_expect(name="зарина", address="a", now=NOW)


def test_a_telephone_is_enrolled_by_its_square_and_then_asked_for(client, zarina):
    sign_in(client)
    assert is_in(client)
    page = client.get("/admin/second-factor/enrol/")
    assert 'src="data:image/svg+xml' in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    telephone = Telephone(TOTPDevice.objects.get(user=zarina))
    assert client.post("/admin/second-factor/enrol/", {"code": wrong(telephone.code())}).status_code == 200
    assert not TOTPDevice.objects.get().confirmed
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    shown = client.post("/admin/second-factor/enrol/", {"code": telephone.code()}).content.decode()
    assert len(set(CODE.findall(shown))) == 10
    assert is_in(client)
    client.logout()
    sign_in(client)
    answer = client.get("/admin/schools/school/?region=x")
    assert answer.url.startswith("/admin/second-factor/?next=")
    answer = client.post(answer.url, {"code": telephone.code(1), "next": "/admin/schools/school/"})
    assert answer.url == "/admin/schools/school/"
    assert is_in(client)
    assert {"second factor"} <= set(AuditEvent.objects.values_list("new", flat=True))


def test_no_page_is_shown_before_the_second_factor(client, zarina, telephone, settings):
    from tests.central.test_roles_pages import addresses  # noqa: PLC0415

    sign_in(client)
    for _admin, _name, path in addresses():
        for ask in (client.get, client.post):
            assert ask(path.format(pk=1)).url.startswith("/admin/second-factor/?next="), path
    for path in ("", "search/", "password_change/", "second-factor/enrol/"):
        assert client.get(f"/admin/{path}").url.startswith("/admin/second-factor/"), path
    # The node's settings, which are joined here, name a page of its own.
    settings.LOGOUT_REDIRECT_URL = None
    assert client.post("/admin/logout/").status_code == 200


def test_a_next_elsewhere_is_not_followed(client, zarina, telephone):
    sign_in(client)
    answer = client.post("/admin/second-factor/", {"code": telephone.code(1), "next": "https://example.org/"})
    assert answer.url == "/admin/"


def test_where_it_is_required_nobody_goes_on_without(client, zarina, settings):
    settings.IS_SECOND_FACTOR_REQUIRED = True
    sign_in(client)
    assert client.get("/admin/").url.startswith("/admin/second-factor/enrol/")
    assert client.get("/admin/second-factor/enrol/").status_code == 200
    assert second_factor_check() == []
    settings.IS_SECOND_FACTOR_REQUIRED = False
    assert is_in(client)
    assert [warning.id for warning in second_factor_check()] == ["signin.W001"]


def test_a_code_counts_once(zarina, telephone):
    with pytest.raises(SecondFactorWrong):
        code_take(user=zarina, code=telephone.code(), now=timezone.now())
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    assert code_take(user=zarina, code=telephone.code(1), now=timezone.now()).user == zarina


def test_a_recovery_code_lets_in_once_however_it_is_typed(zarina, telephone):
    code = telephone.recovery[0].lower().replace("-", " ")
    assert code_take(user=zarina, code=code, now=timezone.now()).user == zarina
    assert AuditEvent.objects.filter(new="recovery code used").count() == 1
    with pytest.raises(SecondFactorWrong):
        code_take(user=zarina, code=code, now=timezone.now())
    assert RecoveryCode.objects.filter(used_at=None).count() == 9
    assert telephone.recovery[0] not in "".join(RecoveryCode.objects.values_list("digest", flat=True))


def test_wrong_codes_make_the_next_one_wait(zarina, telephone):
    with pytest.raises(SecondFactorWrong):
        code_take(user=zarina, code="ABCDE-FGHJK", now=timezone.now())
    with pytest.raises(SecondFactorLocked):
        code_take(user=zarina, code=telephone.recovery[0], now=timezone.now())
    assert RecoveryCode.objects.filter(used_at=None).count() == 10


def test_another_users_recovery_code_is_of_no_use(zarina, telephone):
    other = account("далер", Role.AUDITOR)
    app = Telephone(factor_begin(user=other))
    factor_confirm(user=other, code=app.code(), now=timezone.now())
    with pytest.raises(SecondFactorWrong):
        code_take(user=other, code=telephone.recovery[0], now=timezone.now())


def test_a_new_telephone_shuts_out_the_sessions_of_the_old_one(client, zarina, telephone):
    sign_in(client)
    client.post("/admin/second-factor/", {"code": telephone.code(1)})
    assert is_in(client)
    app = Telephone(factor_begin(user=zarina))
    factor_confirm(user=zarina, code=app.code(), now=timezone.now())
    assert not is_in(client)
    assert TOTPDevice.objects.get().key == app.device.key


def test_a_lost_factor_is_forgotten_by_the_operator_or_a_national_admin(client, zarina, telephone):
    auditor = account("далер", Role.AUDITOR)
    superuser = User.objects.create_superuser("root", password="x")
    for user, actor in ((zarina, auditor.username), (superuser, zarina.username)):
        with pytest.raises(RoleReadsOnly):
            factor_forget(user=user, actor=actor, now=timezone.now())
    assert TOTPDevice.objects.filter(user=zarina).exists()
    call_command("second_factor_forget", "--username", "зарина")
    assert not TOTPDevice.objects.exists() | RecoveryCode.objects.exists()
    assert AuditEvent.objects.filter(new="second factor forgotten", actor="command line").exists()
    sign_in(client)
    assert is_in(client)


def test_nobody_reads_the_secret_of_a_telephone_in_the_admin(client, zarina):
    sign_in(client)
    assert client.get("/admin/otp_totp/totpdevice/").status_code == 404


def test_a_person_is_given_a_role_and_a_password_on_the_page(client, zarina):
    sign_in(client)
    asked = {"username": "манижа", "role": "auditor", "region": ""}
    answer = client.post("/admin/auth/user/add/", asked, follow=True, headers={"Accept-Language": "en"})
    assert any("shown once" in str(message) for message in answer.context["messages"])
    made = User.objects.get(username="манижа")
    assert (made.account.role, made.is_superuser) == ("auditor", False)
    changed = {"role": "regional_admin", "region": "", "is_active": "on"}
    page = client.post(f"/admin/auth/user/{made.pk}/change/", changed)
    assert page.context["adminform"].form.non_field_errors()
    client.post(f"/admin/auth/user/{made.pk}/change/", {**changed, "role": "reviewer", "is_active": ""})
    made = User.objects.get(username="манижа")
    assert (made.account.role, made.is_active) == ("reviewer", False)
    new = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    client.post(f"/admin/auth/user/{made.pk}/password/", new)
    trail = AuditEvent.objects.filter(entity="auth.user манижа").order_by("pk").values_list("actor", "new")
    assert list(trail) == [
        ("зарина", "auditor"), ("зарина", "switched off"), ("зарина", "password changed")
    ]  # fmt: skip


def test_a_national_admin_has_no_power_over_a_superuser(client, zarina):
    root = User.objects.create_superuser("root", password="x")
    sign_in(client)
    new = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    assert client.post(f"/admin/auth/user/{root.pk}/password/", new).status_code == 403
    client.post(f"/admin/auth/user/{root.pk}/change/", {"role": "auditor", "region": ""})
    root.refresh_from_db()
    assert root.check_password("x")
    assert (root.is_active, root.is_superuser) == (True, True)

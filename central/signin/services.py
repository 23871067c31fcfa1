"""Who is let in: the only writer of failed sign-ins, second factors and recovery codes.

A wrong code makes the next one wait, longer each time (django-otp's throttling); a code counts once. Recovery codes
are drawn when the telephone is enrolled, shown once, and kept as digests.
"""

from __future__ import annotations

from datetime import datetime
from math import ceil

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.crypto import salted_hmac
from django_otp.plugins.otp_totp.models import TOTPDevice

from central.schools.audit import audit_record
from central.schools.claim_codes import claim_code_draw
from central.schools.errors import RoleReadsOnly
from central.schools.reach import COUNTRY, reach_of_actor
from central.signin.errors import SecondFactorLocked, SecondFactorWrong, SignInLocked
from central.signin.lockout import OF_NAME_AT_ADDRESS, WINDOW, Failures
from central.signin.models import FailedSignIn, RecoveryCode

CODES = 10
MAX_NAME, MAX_ADDRESS = 150, 64


def signin_expect(*, name: str, address: str, now: datetime) -> None:
    """Refuse a sign-in before its password is looked at.

    Raises:
        SignInLocked: too many have failed.
    """
    if _failures(name, address, now).is_locked:
        raise SignInLocked(minutes=ceil(WINDOW.total_seconds() / 60))


def signin_fail(*, name: str, address: str, now: datetime) -> None:
    """Count a failure; the one that locks is in the audit."""
    FailedSignIn.objects.create(name=_name(name), address=address[:MAX_ADDRESS], at=now)
    if _failures(name, address, now).of_name_at_address == OF_NAME_AT_ADDRESS:
        audit_record(
            actor="centre", entity=f"auth.user {_name(name)[:100]}", old="", new="locked", reason=address, now=now
        )


def signin_succeed(*, name: str, address: str) -> None:
    """Forget what failed before by this name from this address."""
    FailedSignIn.objects.filter(name=_name(name), address=address[:MAX_ADDRESS]).delete()


def failures_expire(*, now: datetime) -> None:
    """Forget failures that count no more."""
    FailedSignIn.objects.filter(at__lte=now - WINDOW).delete()


def factor_of(user: User) -> TOTPDevice | None:
    """Return the user's second factor, or None."""
    return TOTPDevice.objects.filter(user=user, confirmed=True).first()


def factor_begin(*, user: User) -> TOTPDevice:
    """Return the factor that the user is about to enrol, the same until it is confirmed."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        device, _is_new = TOTPDevice.objects.get_or_create(user=user, confirmed=False, defaults={"name": "TOTP"})
    return device


def factor_confirm(*, user: User, code: str, now: datetime) -> list[str]:
    """Return new recovery codes, to be shown once; the telephone that showed `code` is now the user's only factor.

    Raises:
        SecondFactorWrong, SecondFactorLocked: nothing is changed but the count of wrong codes.
    """
    with transaction.atomic():
        device = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=False).first()
        is_right = device is not None and _verify(device, code, now)
        if device is not None and is_right:
            TOTPDevice.objects.filter(user=user).exclude(pk=device.pk).delete()
            device.confirmed = True
            device.save(update_fields=["confirmed"])
            codes = _recovery_draw(user)
            _note(user.username, user, "second factor", now)
    if not is_right:
        raise SecondFactorWrong
    return codes


def code_take(*, user: User, code: str, now: datetime) -> TOTPDevice:
    """Return the user's factor, once its code, or an unused recovery code, is right; neither counts a second time.

    Raises:
        SecondFactorWrong: it is not right.
        SecondFactorLocked: too many were wrong before; it was not looked at.
    """
    with transaction.atomic():
        device = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=True).first()
        is_right = device is not None and _verify(device, code, now, recovery=user)
    if device is None or not is_right:
        raise SecondFactorWrong
    return device


def factor_forget(*, user: User, actor: str, now: datetime) -> None:
    """Take the user's factor and recovery codes away: the next sign-in asks for the password, or for enrolling.

    Raises:
        RoleReadsOnly: `actor` has no say over accounts, or the account is a superuser's and `actor` is not.
    """
    reach = reach_of_actor(actor)
    if not reach.steers or reach.region is not None or (user.is_superuser and reach is not COUNTRY):
        raise RoleReadsOnly(user=actor)
    with transaction.atomic():
        TOTPDevice.objects.filter(user=user).delete()
        RecoveryCode.objects.filter(user=user).delete()
        _note(actor, user, "second factor forgotten", now)


def _failures(name: str, address: str, now: datetime) -> Failures:
    recent = FailedSignIn.objects.filter(at__gt=now - WINDOW)
    of_name, of_address = recent.filter(name=_name(name)), recent.filter(address=address[:MAX_ADDRESS])
    return Failures(
        of_name_at_address=of_name.filter(address=address[:MAX_ADDRESS]).count(),
        of_name=of_name.count(),
        of_address=of_address.count(),
    )


def _name(name: str) -> str:
    return name.casefold()[:MAX_NAME]


def _verify(device: TOTPDevice, code: str, now: datetime, *, recovery: User | None = None) -> bool:
    is_allowed, why = device.verify_is_allowed()
    if not is_allowed:
        wait = why["locked_until"] - now if why and "locked_until" in why else WINDOW
        raise SecondFactorLocked(seconds=max(1, ceil(wait.total_seconds())))
    typed = "".join(code.split())
    if recovery is not None and not typed.isdecimal():
        if _recovery_use(recovery, typed, now):
            return True
        device.throttle_increment(commit=True)
        return False
    return bool(device.verify_token(typed))


def _recovery_draw(user: User) -> list[str]:
    RecoveryCode.objects.filter(user=user).delete()
    codes = [claim_code_draw() for _ in range(CODES)]
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=_digest(code)) for code in codes)
    return codes


def _recovery_use(user: User, code: str, now: datetime) -> bool:
    unused = RecoveryCode.objects.filter(user=user, digest=_digest(code), used_at=None)
    is_used = unused.update(used_at=now) == 1
    if is_used:
        _note(user.username, user, "recovery code used", now)
    return is_used


def _digest(code: str) -> str:
    typed = code.upper().translate(str.maketrans("ILO", "110", "- "))
    return salted_hmac("central.signin.recovery_code", typed, algorithm="sha256").hexdigest()


def _note(actor: str, user: User, new: str, now: datetime) -> None:
    audit_record(actor=actor, entity=f"auth.user {user.username}"[:120], old="", new=new, reason="", now=now)

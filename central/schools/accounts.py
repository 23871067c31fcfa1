"""Accounts of the ministry's people: the only writer of users and their roles.

A role is an `Account` row and the Django group of the same name; both change together. Superusers, who stand above all
roles, are made by Django's own `createsuperuser` alone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import Group, User
from django.db import transaction

from central.schools.audit import audit_record
from central.schools.errors import AccountRegionWrong, NameReserved, RoleReadsOnly
from central.schools.models import Account
from central.schools.reach import CENTRE_ACTORS, reach_of_actor
from central.schools.roles import Role
from federation.errors import WireError


class UserExists(WireError):
    """There is already an account called `username`."""

    code = "user_exists"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """An account with the password that is shown once."""

    username: str
    password: str


def account_create(*, username: str, role: Role, region: str, actor: str, now: datetime) -> NewAccount:
    """Return a new account of `role`, bound to `region` where that is not empty.

    Raises:
        UserExists: the name is taken, in whatever case.
        NameReserved: a part of the centre has this name in the audit.
        AccountRegionWrong: the role needs a region, or has none.
        RoleReadsOnly: `actor` makes no accounts.
    """
    _accounts_expect(actor)
    region_fits(role=role, region=region)
    if username.casefold() in CENTRE_ACTORS:
        raise NameReserved(username=username)
    password = secrets.token_urlsafe(12)
    with transaction.atomic():
        # Not by the database: SQLite tells Cyrillic capitals from small letters.
        if username.casefold() in {name.casefold() for name in User.objects.values_list("username", flat=True)}:
            raise UserExists(username=username)
        user = User.objects.create_user(username=username, password=password, is_staff=True)
        _role_give(user, role, region)
        audit_record(actor=actor, entity=_entity(user), old="", new=role, reason=region, now=now)
    return NewAccount(username=username, password=password)


def account_change(*, user: User, role: Role, region: str, is_active: bool, actor: str, now: datetime) -> None:
    """Leave the user with this role and region, and switched on or off.

    Raises:
        AccountRegionWrong: the role needs a region, or has none.
        RoleReadsOnly: `actor` changes no accounts, or the account is a superuser's.
    """
    _accounts_expect(actor)
    region_fits(role=role, region=region)
    if user.is_superuser:
        raise RoleReadsOnly(user=actor)
    with transaction.atomic():
        before = Account.objects.select_for_update().filter(user=user).first()
        User.objects.filter(pk=user.pk).update(is_active=is_active)
        _role_give(user, role, region)
        new = role if is_active else "switched off"
        audit_record(
            actor=actor, entity=_entity(user), old=before.role if before else "", new=new, reason=region, now=now
        )
    user.is_active = is_active


def password_note(*, user: User, actor: str, now: datetime) -> None:
    """Record that the user has another password now."""
    audit_record(actor=actor, entity=_entity(user), old="", new="password changed", reason="", now=now)


def region_fits(*, role: Role, region: str) -> None:
    """Refuse a role without the region that it needs, or with one that it cannot have.

    Raises:
        AccountRegionWrong: it does not fit.
    """
    is_wrong = not region if role == Role.REGIONAL_ADMIN else bool(region) and role != Role.REVIEWER
    if is_wrong:
        raise AccountRegionWrong(role=role.value, region=region)


def _accounts_expect(actor: str) -> None:
    reach = reach_of_actor(actor)
    if not reach.steers or reach.region is not None:
        raise RoleReadsOnly(user=actor)


def _role_give(user: User, role: Role, region: str) -> None:
    Account.objects.update_or_create(user=user, defaults={"role": role, "region": region})
    user.groups.set(Group.objects.filter(name=role.value))


def _entity(user: User) -> str:
    # By name, not by number: whoever reads the audit knows no numbers of users.
    return f"auth.user {user.username}"[:120]

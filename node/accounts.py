"""Who may do what on the school's page: pupils ask, teachers rate too, the head sees the state of the node.

Guests may ask without an account while the head lets them. Roles are Django groups; a person has one.
"""

from __future__ import annotations

import enum
import secrets
from dataclasses import dataclass

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import transaction

from federation.errors import WireError

# Without the letters and digits that are mistaken for one another when a password is read from paper.
ONE_TIME_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
ONE_TIME_LENGTH = 12


class Role(enum.Enum):
    """What a person is at the school; the value is the name of the Django group."""

    TEACHER = "teacher"
    PUPIL = "pupil"
    HEAD = "head"


class AccountRefused(WireError):
    """An account cannot be made with this name."""

    code = "account_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """A fresh account with the password that is shown once."""

    username: str
    role: Role
    password: str


@dataclass(frozen=True, slots=True)
class DrawnPassword:
    """A password for a person to read, and the hash to keep; a school's PC hashes for half a second."""

    text: str
    hashed: str


def password_draw() -> DrawnPassword:
    """Return a fresh one-time password."""
    text = "".join(secrets.choice(ONE_TIME_ALPHABET) for _ in range(ONE_TIME_LENGTH))
    return DrawnPassword(text, make_password(text))


@transaction.atomic
def account_create(*, username: str, role: Role, password: DrawnPassword | None = None) -> NewAccount:
    """Return a new account of this role with a one-time password, which may be drawn before; only its hash is kept.

    Raises:
        AccountRefused: the name is taken or not fit for a name.
    """
    try:
        UnicodeUsernameValidator()(username)
    except ValidationError as error:
        raise AccountRefused(username=username, reason="not_a_name") from error
    if User.objects.filter(username__iexact=username).exists():
        raise AccountRefused(username=username, reason="taken")
    drawn = password or password_draw()
    user = User.objects.create(username=username, password=drawn.hashed)
    user.groups.add(Group.objects.get_or_create(name=role.value)[0])
    return NewAccount(username=username, role=role, password=drawn.text)


def has_role(person: AbstractBaseUser | AnonymousUser, *roles: Role) -> bool:
    """Return whether the signed-in `person` has one of `roles`."""
    if not isinstance(person, User) or not person.is_active:
        return False
    return person.groups.filter(name__in=[role.value for role in roles]).exists()


def is_teacher(person: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether `person` may rate answers: teachers and the head may."""
    return has_role(person, Role.TEACHER, Role.HEAD)

"""The only writer of classes and pupils, and of what the head decides about accounts.

Rules, in order: a password or PIN is returned once and kept as a hash; a new one ends the sessions of the old; a pupil
has no password, only the class's code and a PIN; a school always has a head who can sign in.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.utils.crypto import constant_time_compare, salted_hmac

from federation.errors import WireError
from node.accounts import DrawnPassword, NewAccount, Role, account_create, has_role, password_draw
from node.people.guessing import guess_count, guess_forgive
from node.people.models import Pupil, SchoolClass, SchoolRules
from node.people.names import (
    CODE_DIGITS,
    MAX_CLASS_NAME,
    MAX_PERSON_NAME,
    PIN_DIGITS,
    class_name_read,
    digits_draw,
    digits_read,
    grade_of,
    person_name_read,
    picture_choose,
)
from node.people.targets import pupil_target, staff_target

MAX_PUPILS_IN_CLASS = 60
LEAST_PASSWORD, MOST_PASSWORD = 10, 200


class PeopleRefused(WireError):
    """The head's wish cannot be done; `reason` says why."""

    code = "people_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPupil:
    """A pupil with the PIN that is shown once."""

    pupil: Pupil
    pin: str


def rules_read() -> SchoolRules:
    """Return what the head decided; the defaults before the first time."""
    return SchoolRules.objects.first() or SchoolRules()


def guests_allow(*, is_allowed: bool) -> None:
    """Let guests ask, or let only people with an account."""
    SchoolRules.objects.update_or_create(is_only=True, defaults={"allows_guests": is_allowed})


@transaction.atomic
def class_create(*, name: str) -> SchoolClass:
    """Return a new class with a code of its own.

    Raises:
        PeopleRefused: the name is empty, too long or taken.
    """
    spelt = class_name_read(name)
    if not 0 < len(spelt) <= MAX_CLASS_NAME:
        raise PeopleRefused(reason="class_name_invalid")
    if SchoolClass.objects.filter(name=spelt).exists():
        raise PeopleRefused(reason="class_taken")
    return SchoolClass.objects.create(name=spelt, code=_code_draw(), grade=grade_of(spelt))


def class_change(*, school_class: SchoolClass, asks_pin: bool, teacher_ids: Iterable[int]) -> None:
    """Set whether the class's pupils need a PIN, and who teaches it; ids of others than teachers are left out."""
    SchoolClass.objects.filter(pk=school_class.pk).update(asks_pin=asks_pin)
    roles = [Role.TEACHER.value, Role.HEAD.value]
    school_class.teachers.set(User.objects.filter(pk__in=list(teacher_ids), groups__name__in=roles).distinct())


def class_code_renew(*, school_class: SchoolClass) -> None:
    """Give the class a new code; the old one opens nothing any more, nor do the devices that remember it."""
    SchoolClass.objects.filter(pk=school_class.pk).update(code=_code_draw())


@transaction.atomic
def pupil_create(*, school_class: SchoolClass, last_name: str, first_name: str) -> NewPupil:
    """Return a new pupil of the class with a picture and a PIN.

    Raises:
        PeopleRefused: the name is empty, too long or there already, or the class is full.
    """
    last, first = person_name_read(last_name), person_name_read(first_name)
    if not first or max(len(last), len(first)) > MAX_PERSON_NAME:
        raise PeopleRefused(reason="name_invalid")
    members = list(school_class.pupils.select_related("person"))
    if any((one.person.last_name, one.person.first_name) == (last, first) for one in members):
        raise PeopleRefused(reason="pupil_there_already")
    if len(members) >= MAX_PUPILS_IN_CLASS:
        raise PeopleRefused(reason="class_full")
    person = User.objects.create(
        username=f"pupil-{secrets.token_hex(8)}", password=make_password(None), first_name=first, last_name=last
    )
    person.groups.add(Group.objects.get_or_create(name=Role.PUPIL.value)[0])
    pin = digits_draw(PIN_DIGITS, draw=secrets.randbelow)
    pupil = Pupil.objects.create(
        person=person,
        school_class=school_class,
        picture=picture_choose([one.picture for one in members]),
        pin_hash=_pin_hash(person, pin),
    )
    return NewPupil(pupil=pupil, pin=pin)


@transaction.atomic
def pupil_move(*, pupil: Pupil, school_class: SchoolClass) -> None:
    """Put the pupil into another class.

    Raises:
        PeopleRefused: that class is full.
    """
    taken = list(school_class.pupils.exclude(pk=pupil.pk).values_list("picture", flat=True))
    if len(taken) >= MAX_PUPILS_IN_CLASS:
        raise PeopleRefused(reason="class_full")
    Pupil.objects.filter(pk=pupil.pk).update(school_class=school_class, picture=picture_choose(taken))


@transaction.atomic
def pupil_pin_renew(*, pupil: Pupil) -> NewPupil:
    """Return the pupil with a new PIN; the old one's sessions have ended, and wrong guesses are forgiven."""
    pin = digits_draw(PIN_DIGITS, draw=secrets.randbelow)
    Pupil.objects.filter(pk=pupil.pk).update(pin_hash=_pin_hash(pupil.person, pin))
    # A session dies with the password that it began with; an unusable one is random each time.
    pupil.person.set_unusable_password()
    pupil.person.save(update_fields=["password"])
    guess_forgive(targets=(pupil_target(pupil.pk),))
    return NewPupil(pupil=pupil, pin=pin)


def is_pupils_pin(*, pupil: Pupil, pin: str) -> bool:
    """Return whether `pin` lets the pupil in; in a class without PINs anything does."""
    return not pupil.school_class.asks_pin or constant_time_compare(
        _pin_hash(pupil.person, digits_read(pin)), pupil.pin_hash
    )


@transaction.atomic
def teacher_create(
    *,
    username: str,
    last_name: str,
    first_name: str,
    classes: Iterable[SchoolClass],
    password: DrawnPassword | None = None,
) -> NewAccount:
    """Return a new teacher of `classes` with a password that is shown once, and may be drawn before.

    Raises:
        AccountRefused: the name is taken or not fit for a name.
        PeopleRefused: a name of the person is too long.
    """
    last, first = person_name_read(last_name), person_name_read(first_name)
    if max(len(last), len(first)) > MAX_PERSON_NAME:
        raise PeopleRefused(reason="name_invalid")
    account = account_create(username=username, role=Role.TEACHER, password=password)
    person = User.objects.get(username=account.username)
    person.last_name, person.first_name = last, first
    person.save(update_fields=["last_name", "first_name"])
    person.classes.set(classes)
    return account


def staff_password_renew(*, person: User) -> NewAccount:
    """Return the account of a teacher or head with a new password; sessions of the old one end.

    Raises:
        PeopleRefused: the account is a pupil's.
    """
    if not has_role(person, Role.TEACHER, Role.HEAD):
        raise PeopleRefused(reason="not_staff")
    drawn = password_draw()
    person.password = drawn.hashed
    # Whoever has never signed in has a password that somebody else knows, and is asked for an own one.
    person.last_login = None
    person.save(update_fields=["password", "last_login"])
    guess_forgive(targets=(staff_target(person.username),))
    role = Role.HEAD if has_role(person, Role.HEAD) else Role.TEACHER
    return NewAccount(username=person.username, role=role, password=drawn.text)


def own_password_change(*, person: User, password: str, new_password: str, again: str, now: datetime) -> None:
    """Give a teacher or head the password that they chose; sessions of the old one end, and the caller keeps its own.

    Raises:
        GuessesTooMany: somebody has guessed at the present password, and the next try must wait.
        PeopleRefused: the present password is wrong, or the new one too short, too long, the same, or not `again`.
    """
    if not has_role(person, Role.TEACHER, Role.HEAD):
        raise PeopleRefused(reason="not_staff")
    targets = (staff_target(person.username),)
    guess_count(targets=targets, now=now)
    if not person.check_password(password):
        raise PeopleRefused(reason="password_wrong")
    guess_forgive(targets=targets)
    if not LEAST_PASSWORD <= len(new_password) <= MOST_PASSWORD:
        raise PeopleRefused(reason="password_short")
    if new_password != again:
        raise PeopleRefused(reason="password_twice")
    if new_password == password:
        raise PeopleRefused(reason="password_same")
    person.set_password(new_password)
    person.save(update_fields=["password"])


@transaction.atomic
def account_switch(*, person: User, is_active: bool) -> None:
    """Let the person sign in, or no more; what they asked and said stays.

    Raises:
        PeopleRefused: it is the last head who can sign in.
    """
    heads = User.objects.filter(is_active=True, groups__name=Role.HEAD.value)
    if not is_active and heads.filter(pk=person.pk).exists() and not heads.exclude(pk=person.pk).exists():
        raise PeopleRefused(reason="last_head")
    User.objects.filter(pk=person.pk).update(is_active=is_active)


def _pin_hash(person: User, pin: str) -> str:
    # Under the node's secret, which is in no database: ten thousand PINs are tried in a moment, however slow the hash.
    return salted_hmac(f"node.people.pin:{person.username}", pin, algorithm="sha256").hexdigest()


def _code_draw() -> str:
    while True:
        code = digits_draw(CODE_DIGITS, draw=secrets.randbelow)
        if not SchoolClass.objects.filter(code=code).exists():
            return code

"""The only writer of API keys: one is made for a person and shown once, admits its bearer, and can be revoked.

A key is 32 random bytes, so a plain SHA-256 hides it as well as any slow hash would: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import date, datetime

from django.contrib.auth.models import User

from federation.errors import TrustError, WireError
from node.chat.models import ApiKey

PREFIX = "soro-"
KEY_BYTES = 32
MAX_NAME_CHARACTERS = 60


class ApiKeyRefused(WireError):
    """A key needs a name of 1 to 60 characters."""

    code = "api_key_refused"


class ApiKeyMissing(WireError):
    """No key in force has the number `key`."""

    code = "api_key_missing"


class PersonUnknown(WireError):
    """No account of the school is called `username`, or it is switched off."""

    code = "person_unknown"


class ApiKeyUnknown(TrustError):
    """The bearer's key was never made here, is revoked, or belongs to an account that is switched off."""

    code = "api_key_unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """A fresh key; `text` is what the program shows, and is kept nowhere."""

    number: int
    name: str
    text: str


def api_key_create(*, username: str, name: str, now: datetime) -> NewApiKey:
    """Return a new key of the person called `username`.

    Raises:
        PersonUnknown: there is no such account, or it is switched off.
        ApiKeyRefused: the name is empty or too long.
    """
    person = User.objects.filter(username=username, is_active=True).first()
    if person is None:
        raise PersonUnknown(username=username)
    name = name.strip()
    if not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise ApiKeyRefused(characters=len(name), most=MAX_NAME_CHARACTERS)
    text = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    key = ApiKey.objects.create(person=person, name=name, key_sha256=_digest(text), created_at=now)
    return NewApiKey(number=key.pk, name=name, text=text)


def api_key_revoke(*, number: int, owner_id: int | None, now: datetime) -> None:
    """Let the key `number` admit nobody from now on; with `owner_id` only where it is that person's.

    Raises:
        ApiKeyMissing: there is no such key in force.
    """
    keys = ApiKey.objects.in_force().filter(pk=number)
    own = keys if owner_id is None else keys.filter(person_id=owner_id)
    if own.update(revoked_at=now) != 1:
        raise ApiKeyMissing(key=number)


def api_key_admit(*, text: str, today: date) -> int:
    """Return the id of the person whose key `text` is.

    Raises:
        ApiKeyUnknown: it admits nobody.
    """
    key = ApiKey.objects.admitting().filter(key_sha256=_digest(text)).first()
    if key is None:
        raise ApiKeyUnknown
    if key.last_used_on != today:
        ApiKey.objects.filter(pk=key.pk).update(last_used_on=today)
    return key.person_id


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

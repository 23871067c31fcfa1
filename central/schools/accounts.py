"""Accounts of ministry admins."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction

from federation.errors import WireError


class UserExists(WireError):
    """There is already an account called `username`."""

    code = "user_exists"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """An account with the password that is shown once."""

    username: str
    password: str


def admin_create(*, username: str) -> NewAccount:
    """Return a new account that may do everything in the admin.

    Raises:
        UserExists: the name is taken.
    """
    password = secrets.token_urlsafe(12)
    try:
        with transaction.atomic():
            get_user_model().objects.create_superuser(username=username, password=password)
    except IntegrityError as error:
        raise UserExists(username=username) from error
    return NewAccount(username=username, password=password)

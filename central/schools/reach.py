"""How far a person's word goes: which rows an account sees, and which it may move. One place for pages and services.

The rules, in order:
1. A model names its region: `REGION` is the lookup from a row to it, `EVERYWHERE` says that everybody may read it. What
   cannot be told by one lookup has `in_region` and `reaches_beyond` of its own.
2. A model that names none is the whole country's: who is bound to a region sees none of it.
3. What belongs to no region is moved by the whole country's people alone, even where everybody may read it.
4. Rows of a model that is reviewed (`IS_REVIEWED`) are moved by reviewers too.
5. A name that is no account is the machine's or its operator's, and reaches everywhere; so no account may bear the name
   of a part of the centre (`accounts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import Q

from central.schools.errors import OutsideRegion, RoleReadsOnly
from central.schools.models_account import Account
from central.schools.roles import REVIEWING, STEERING, Role

EVERYWHERE = "*"
CENTRE_ACTORS = frozenset({"centre", "command line", "gate", "node", "targets key"})
ModelT = TypeVar("ModelT", bound=models.Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What one account sees and may do."""

    region: str | None
    """None: the whole country."""
    sees: bool = True
    steers: bool = False
    reviews: bool = False

    def rows(self, queryset: models.QuerySet[ModelT]) -> models.QuerySet[ModelT]:
        """Return those of `queryset` that the account sees."""
        if not self.sees:
            return queryset.none()
        return queryset if self.region is None else queryset.filter(region_condition(queryset.model, self.region))

    def holds(self, rows: Sequence[models.Model]) -> bool:
        """Tell whether all `rows`, of one model, lie within the account's region as a whole."""
        if self.region is None or not rows:
            return True
        return not _is_beyond(type(rows[0]), [row.pk for row in rows], self.region)

    def holds_region(self, region: str) -> bool:
        """Tell whether a region is the account's."""
        return self.region in (None, region)


COUNTRY = Reach(region=None, steers=True, reviews=True)
NOWHERE = Reach(region=None, sees=False)


def reach_of(user: AbstractBaseUser | AnonymousUser) -> Reach:
    """Return how far the user's word goes."""
    if getattr(user, "is_superuser", False):
        return COUNTRY
    account = getattr(user, "account", None)
    if not isinstance(account, Account):
        return NOWHERE
    role = Role(account.role)
    return Reach(region=account.region or None, steers=role in STEERING, reviews=role in REVIEWING)


def reach_of_actor(actor: str) -> Reach:
    """Return how far the word of whoever the audit calls `actor` goes."""
    if actor in CENTRE_ACTORS:
        return COUNTRY
    name = get_user_model().USERNAME_FIELD
    user = get_user_model().objects.filter(**{name: actor}).select_related("account").first()
    return COUNTRY if user is None else reach_of(user)


def steering_expect(*, actor: str, rows: Sequence[models.Model]) -> None:
    """Refuse unless `actor` may move all `rows`, of one model.

    Raises:
        RoleReadsOnly: their role moves nothing of the kind.
        OutsideRegion: a row lies outside their region, or reaches beyond it.
    """
    reach = reach_of_actor(actor)
    is_enough = reach.reviews if rows and getattr(type(rows[0]), "IS_REVIEWED", False) else reach.steers
    if not is_enough:
        raise RoleReadsOnly(user=actor)
    if not reach.holds(rows):
        raise OutsideRegion(region=reach.region, entity=entity_of(rows[0]))


def region_expect(*, actor: str, region: str, entity: str) -> None:
    """Refuse unless `actor` may make `entity` in `region`; the empty one is the whole country's.

    Raises:
        RoleReadsOnly, OutsideRegion: as `steering_expect`.
    """
    reach = reach_of_actor(actor)
    if not reach.steers:
        raise RoleReadsOnly(user=actor)
    if not reach.holds_region(region):
        raise OutsideRegion(region=reach.region, entity=entity)


def region_condition(model: type[models.Model], region: str) -> Q:
    """Return which rows of `model` somebody bound to `region` sees."""
    own: Any = getattr(model, "in_region", None)
    if own is not None:
        condition: Q = own(region)
        return condition
    path = getattr(model, "REGION", None)
    if path is None:
        return Q(pk__in=())
    return Q() if path == EVERYWHERE else Q(**{path: region})


def entity_of(row: models.Model) -> str:
    """Return the name of a row in the audit."""
    return f"{row._meta.label_lower} {row.pk}"  # noqa: SLF001 - Django documents it


def _is_beyond(model: type[models.Model], pks: Sequence[object], region: str) -> bool:
    own: Any = getattr(model, "reaches_beyond", None)
    if own is not None:
        return bool(own(pks, region))
    path = getattr(model, "REGION", EVERYWHERE)
    if path == EVERYWHERE:
        return True
    rows: models.Manager[Any] = model._base_manager  # noqa: SLF001 - Django documents it
    return rows.filter(pk__in=pks).exclude(**{path: region}).exists()

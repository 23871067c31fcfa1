"""The ledger of what each school's privacy has cost, and the rule that stops asking a school whose budget is spent.

A row is added for every school that a private round counts, in the transaction that settles what the round counts, and
never changed: from then on the noised sum may be made. A school is charged once for a round, however often a combining
that was cut is done anew, because the same updates get the same noise. It is charged also where the candidate is then
refused or never signed: the centre's own people have seen its figures.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime

import numpy as np
from django.db import transaction

from central.schools.models import School
from central.schools.transitions import status_move
from central.training.errors import PrivacyBudgetSpent
from central.training.mode_settings import private_terms
from central.training.models import (
    NoiseSeed,
    PrivacyCharge,
    Round,
    RoundStatus,
    Season,
    SeasonMode,
    Update,
    UpdateStatus,
)
from central.training.plans import settings_of
from federation.learning.modes.accounting import Spending, epsilon_spent, spending_after
from federation.learning.modes.mode import PrivateTerms
from federation.learning.modes.private import noise_generator, noise_seed, sensitivity

LOGGER = logging.getLogger(__name__)
ACTOR = "centre"


def budget_expect(*, school: School, season: Season) -> None:
    """Refuse the update of a school that one more round of the season would take past its budget.

    Raises:
        PrivacyBudgetSpent: names the ε that it has spent and that it would have spent.
    """
    if season.mode != SeasonMode.PRIVATE:
        return
    spending = school_spending(school=school, season=season)
    if not spending.is_within:
        raise PrivacyBudgetSpent(
            school=school.name,
            epsilon=round(spending.epsilon, 3),
            epsilon_next=round(spending.epsilon_next, 3),
            budget=spending.budget,
        )


def budget_allows(*, school: School, season: Season) -> bool:
    """Tell whether the school may be asked to learn for the season."""
    return season.mode != SeasonMode.PRIVATE or school_spending(school=school, season=season).is_within


def school_spending(*, school: School, season: Season) -> Spending:
    """Return the school's ε so far, updates that wait to be counted included, and after one more round."""
    waiting = Update.objects.accepted().filter(node__school=school, round__season__mode=SeasonMode.PRIVATE)
    waiting = waiting.exclude(round__charges__school=school).select_related("round__season")
    spent = [
        *PrivacyCharge.objects.filter(school=school).values_list("noise_multiplier", flat=True),
        *(private_terms(update.round.season).noise_multiplier for update in waiting if update.round is not None),
    ]
    return spending_after(spent, terms=private_terms(season))


def round_charge(*, round_: Round, now: datetime) -> None:
    """Charge every school that the private round counts; the update of one past its budget waits for a person.

    Call it in the transaction that settles what the round counts, with the season locked. Two rounds that charge the
    same school do so one after the other, so no budget is passed by two at once.
    """
    if round_.season.mode != SeasonMode.PRIVATE:
        return
    with transaction.atomic():
        updates = list(round_.updates.accepted().select_related("node__school"))
        schools = School.objects.select_for_update().filter(pk__in={update.node.school_id for update in updates})
        # Locked in one order, so that two rounds never wait for each other.
        spent = _spent(list(schools.order_by("pk")))
        charged, terms = set(round_.charges.values_list("school_id", flat=True)), private_terms(round_.season)
        for update in updates:
            if update.node.school_id not in charged:
                _charge(update, round_, spent[update.node.school_id], terms, now)


def round_noise(*, round_: Round, counted: Iterable[str]) -> np.random.Generator:
    """Return the generator of the noise on the round's sum of the updates `counted`, by digest."""
    seed, _is_new = NoiseSeed.objects.get_or_create(round=round_, defaults={"value": noise_seed()})
    return noise_generator(bytes(seed.value), counted=counted)


def noise_seeds_forget() -> int:
    """Forget the secrets of rounds whose sum is made, so that nobody can take the noise off; return how many."""
    gone, _by_model = NoiseSeed.objects.filter(round__status=RoundStatus.COMPLETED).delete()
    return gone


def round_epsilon(round_: Round) -> float | None:
    """Return the largest ε that a school of the round has spent up to and with it; None where it is not private."""
    newest = round_.charges.order_by("-epsilon").first()
    return newest.epsilon if newest else None


def _spent(schools: Sequence[School]) -> dict[int, list[float]]:
    """Return by school the noise multipliers of all its rounds."""
    spent: dict[int, list[float]] = {school.pk: [] for school in schools}
    for charge in PrivacyCharge.objects.filter(school__in=schools):
        spent[charge.school_id].append(charge.noise_multiplier)
    return spent


def _charge(update: Update, round_: Round, spent: list[float], terms: PrivateTerms, now: datetime) -> None:
    if not spending_after(spent, terms=terms).is_within:
        LOGGER.warning("the privacy budget of school %s is spent: update %s waits", update.node.school_id, update.pk)
        code = PrivacyBudgetSpent.code
        status_move(update, to=UpdateStatus.QUARANTINED, actor=ACTOR, reason=code, now=now, code=code)
        return
    settings = settings_of(round_.season)
    PrivacyCharge.objects.create(
        school=update.node.school,
        round=round_,
        noise_multiplier=terms.noise_multiplier,
        clip_norm=settings.max_norm,
        sigma=terms.noise_multiplier * sensitivity(max_norm=settings.max_norm, max_labels=settings.max_labels),
        epsilon=epsilon_spent((*spent, terms.noise_multiplier), delta=terms.delta),
        delta=terms.delta,
        rounds=len(spent) + 1,
        charged_at=now,
    )

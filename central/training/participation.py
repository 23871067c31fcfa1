"""Who may learn for a season: schools that have not withdrawn, and whose privacy budget holds one more round."""

from __future__ import annotations

from central.schools.models import School
from central.training.errors import SchoolWithdrawn
from central.training.models import OptOut, Season
from central.training.privacy_ledger import budget_expect


def participation_expect(*, school: School, season: Season) -> None:
    """Refuse an update of a school that takes no part.

    Raises:
        SchoolWithdrawn: it has withdrawn.
        PrivacyBudgetSpent: one more round of the season would pass its budget.
    """
    if _is_out(school):
        raise SchoolWithdrawn(school=school.name)
    budget_expect(school=school, season=season)


def _is_out(school: School) -> bool:
    return OptOut.objects.filter(school=school).exists()

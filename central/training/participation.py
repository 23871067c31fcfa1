"""Who may learn for a season: schools that have not withdrawn, and whose privacy budget holds one more round."""

from __future__ import annotations

from central.schools.models import Node
from central.training.errors import SchoolWithdrawn
from central.training.models import Season
from central.training.privacy_ledger import budget_expect
from central.training.shared import SharedSeasons


def participation_expect(*, node: Node, season: Season, shared: SharedSeasons) -> None:
    """Refuse an update of a school that takes no part; `shared` is read under the season's lock.

    Raises:
        SchoolWithdrawn: it has withdrawn.
        PrivacyBudgetSpent: one more round of the season would pass its budget.
    """
    if node.school_id in shared.withdrawn:
        raise SchoolWithdrawn(school=node.school.name)
    budget_expect(school=node.school, season=season)

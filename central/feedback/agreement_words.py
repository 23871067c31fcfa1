"""What a value of Krippendorff's α means, in words.

Source: Krippendorff 2004, «Content Analysis», chapter 11: rely on 0.8 and more, draw tentative conclusions from 0.667.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from django.utils.translation import gettext_noop as _

RELIABLE, TENTATIVE = 0.8, 0.667


class AgreementGrade(enum.Enum):
    """How far teachers agree."""

    UNKNOWN = "unknown"
    RELIABLE = "reliable"
    TENTATIVE = "tentative"
    POOR = "poor"


AGREEMENT_WORDS: Mapping[AgreementGrade, str] = {
    AgreementGrade.UNKNOWN: _("nothing can be said"),
    AgreementGrade.RELIABLE: _("teachers agree"),
    AgreementGrade.TENTATIVE: _("teachers agree in part"),
    AgreementGrade.POOR: _("teachers disagree: look at these before they train anything"),
}


def agreement_grade(alpha: float | None) -> AgreementGrade:
    """Return how far teachers agree."""
    if alpha is None:
        return AgreementGrade.UNKNOWN
    if alpha >= RELIABLE:
        return AgreementGrade.RELIABLE
    return AgreementGrade.TENTATIVE if alpha >= TENTATIVE else AgreementGrade.POOR

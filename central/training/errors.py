"""Why the centre refuses a round, an update or a lease."""

from __future__ import annotations

from federation.errors import CapacityError, TrustError, WireError


class RoundUnknown(WireError):
    """No round has this plan id."""

    code = "round_unknown"


class RoundUnderWay(WireError):
    """Another round on the same base still collects."""

    code = "round_under_way"


class RoundClosed(TrustError):
    """The round no longer takes updates in."""

    code = "round_closed"


class UpdateDuplicate(TrustError):
    """The node already has an accepted update in this round."""

    code = "update_duplicate"


class AnchorsUnreadable(CapacityError):
    """The file of anchor examples at `path` is missing or line `line` is not an example."""

    code = "anchors_unreadable"

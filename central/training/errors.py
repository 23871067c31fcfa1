"""Why the centre refuses a season, an update, an upload or a lease."""

from __future__ import annotations

from federation.errors import CapacityError, TrustError, WireError


class SeasonUnknown(WireError):
    """No season has this id."""

    code = "season_unknown"


class SeasonUnderWay(WireError):
    """Another season on the same base is open."""

    code = "season_under_way"


class SeasonClosed(TrustError):
    """The season no longer takes updates in."""

    code = "season_closed"


class PlanUnknown(WireError):
    """No plan has this id."""

    code = "plan_unknown"


class RoundUnknown(WireError):
    """No round has this id."""

    code = "round_unknown"


class RoundNotEnough(WireError):
    """The round has fewer updates than its minimum, so there is nothing to combine yet."""

    code = "round_not_enough"


class RoundBlocked(WireError):
    """Another round of the season is being combined."""

    code = "round_blocked"


class HoldFailed(CapacityError):
    """The centre's own part of a round could not be measured; `reason` is the last line of the process."""

    code = "hold_failed"


class ProbeFailed(CapacityError):
    """Updates could not be tried on corrections that the centre knows; `reason` is the last line of the process."""

    code = "probe_failed"


class UpdateDuplicate(TrustError):
    """The node has answered this plan already."""

    code = "update_duplicate"


class UpdateTooStale(TrustError):
    """The season has adopted more adapters since the start of the update's plan than it tolerates."""

    code = "update_too_stale"


class UpdateOutlier(TrustError):
    """The update stands apart from its round and waits for a person."""

    code = "update_outlier"


class PrivacyBudgetSpent(TrustError):
    """One more private round would take the school's ε past its budget."""

    code = "privacy_budget_spent"


class SchoolWithdrawn(TrustError):
    """The school has withdrawn from learning."""

    code = "school_withdrawn"


class UploadPieceInvalid(WireError):
    """A piece of an upload does not say where it lies in an update of an allowed size."""

    code = "upload_piece_invalid"


class UploadOffsetWrong(WireError):
    """A piece begins behind what has arrived; the upload goes on at `received_bytes`."""

    code = "upload_offset_wrong"


class UploadDamaged(WireError):
    """All bytes of the upload have arrived, and they are not those of its digest; it begins anew."""

    code = "upload_damaged"


class AnchorsUnreadable(CapacityError):
    """The file of anchor examples at `path` is missing or line `line` is not an example."""

    code = "anchors_unreadable"

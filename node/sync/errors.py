"""Why the node and its centre did not come together."""

from __future__ import annotations

from federation.errors import CapacityError, TransportError, TrustError, WireError


class CentreUnreachable(TransportError):
    """The link is down, or the centre did not answer in time; `problem` names the kind."""

    code = "centre_unreachable"


class CentreBusy(TransportError):
    """The centre answered that it cannot serve now; `status` is its HTTP status.

    `retry_after_seconds` is for how long it wants to be left alone, 0 where it did not say.
    """

    code = "centre_busy"


class SessionRefused(TransportError):
    """The centre does not take the session token any more; the next try opens a new session."""

    code = "session_refused"


class CentreRefused(WireError):
    """The centre refused the request for good; `reason` is its code."""

    code = "centre_refused"


class WindowClosed(TransportError):
    """The school lets releases come over its link at other hours."""

    code = "window_closed"


class LinkRuleRefused(WireError):
    """The school's rule for its link cannot be `value` at `field`."""

    code = "link_rule_refused"


class NotEnrolled(CapacityError):
    """The node has no school yet."""

    code = "not_enrolled"


class CentreWithoutAddress(CapacityError):
    """The node enrolled by USB stick and has not been told an address of the centre; it trades by stick alone."""

    code = "centre_without_address"


class ContactUnderWay(TransportError):
    """Another process of this node trades with the centre, or reads a stick, just now."""

    code = "contact_under_way"


class AlreadyEnrolled(CapacityError):
    """The node belongs to a school already."""

    code = "already_enrolled"


class AssignmentOfOtherNode(TrustError):
    """The director's document is meant for another node."""

    code = "assignment_of_other_node"


class AssignmentRolledBack(TrustError):
    """The director's document is older than one that this node has seen."""

    code = "assignment_rolled_back"


class CentreNotTrusted(TrustError):
    """What answers at `url` is not the centre, by its certificate: `problem`."""

    code = "centre_not_trusted"


class AuthorityMismatch(TrustError):
    """The authority that the centre names is not the one whose fingerprint was printed."""

    code = "authority_mismatch"


class AuthorityOutOfDate(TrustError):
    """The authority that was pinned at enrolment ended at `ended_at`."""

    code = "authority_out_of_date"


class UploadStuck(TransportError):
    """The centre took a piece of the update `sha256` and still has `received_bytes`; the next contact tries again."""

    code = "upload_stuck"

"""Why the node and its centre did not come together."""

from __future__ import annotations

from federation.errors import CapacityError, TransportError, TrustError, WireError


class CentreUnreachable(TransportError):
    """The link is down, or the centre did not answer in time; `problem` names the kind."""

    code = "centre_unreachable"


class CentreBusy(TransportError):
    """The centre answered that it cannot serve now; `status` is its HTTP status."""

    code = "centre_busy"


class SessionRefused(TransportError):
    """The centre does not take the session token any more; the next try opens a new session."""

    code = "session_refused"


class CentreRefused(WireError):
    """The centre refused the request for good; `reason` is its code."""

    code = "centre_refused"


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

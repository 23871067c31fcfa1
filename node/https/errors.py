"""Why the page is not served over HTTPS; each has a sentence in `node.sentences`."""

from __future__ import annotations

from federation.errors import CapacityError, WireError


class HttpsAddressMissing(CapacityError):
    """The PC has no private address that a certificate could name."""

    code = "https_address_missing"


class HttpsAuthorityUnreadable(CapacityError):
    """The file `path` with the authority's key and certificates is damaged."""

    code = "https_authority_unreadable"


class HttpsClockWrong(CapacityError):
    """The PC's clock is known to be wrong, so what it signed would be refused by every telephone."""

    code = "https_clock_wrong"


class HttpsPortTaken(CapacityError):
    """Another program listens on `port`, or this user may not."""

    code = "https_port_taken"


class HttpsSwitchedOn(WireError):
    """The authority cannot be forgotten while the page is served over HTTPS."""

    code = "https_switched_on"

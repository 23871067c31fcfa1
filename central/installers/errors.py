"""Why no installation stick was made."""

from __future__ import annotations

from federation.errors import CapacityError, TransportError


class WheelsUnavailable(TransportError):
    """The packages that a node needs could not be had; `problem` is the end of what pip said."""

    code = "wheels_unavailable"


class NodeCodeMissing(CapacityError):
    """This centre was installed without the node's code; `path` is where it should lie."""

    code = "node_code_missing"

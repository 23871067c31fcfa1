"""By which addresses other devices of the school reach this PC."""

from __future__ import annotations

import ifaddr

from federation.ports import is_loopback
from federation.trust.peers import is_neighbour


def own_addresses(host: str) -> tuple[str, ...]:
    """Return the IPv4 addresses by which others reach a door that listens on `host`."""
    if host not in ("0.0.0.0", "::"):  # nosec B104 # noqa: S104 - the question is whether it is
        return (host,)
    found = (ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if isinstance(ip.ip, str))
    return tuple(sorted(ip for ip in found if is_neighbour(ip) and not is_loopback(ip)))

"""Says before anything is started whether a port is free, and who can reach it. Standard library only."""

from __future__ import annotations

import ipaddress
import socket

from federation.errors import CapacityError


class PortInUse(CapacityError):
    """Another program listens on `port` of `host`, or this user may not; `option` chooses another port."""

    code = "port_in_use"


def port_check(*, host: str, port: int, option: str = "--port") -> None:
    """Return only if a server can listen on `port` of `host`.

    Raises:
        PortInUse: it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUse(host=host, port=port, option=option) from error


def is_loopback(host: str) -> bool:
    """Return whether a server that listens on `host` is for this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

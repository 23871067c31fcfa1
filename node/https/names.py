"""Under which names and addresses the school's devices know this PC. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from federation.trust.peers import is_neighbour

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_LABEL_ALONE = re.compile(_LABEL)
_DOTTED = re.compile(f"{_LABEL}(?:\\.{_LABEL})+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PcNames:
    """What a certificate of this PC may say; the addresses are private ones."""

    dns: tuple[str, ...]
    addresses: tuple[str, ...]


def pc_names(*, hostname: str, hosts: Iterable[str], addresses: Iterable[str]) -> PcNames:
    """Return the names of the PC `hostname` that is reached at `addresses`, and as the settings' `hosts`.

    A bare word is no name here: a constraint on `tj` would let everything under .tj pass. Source: RFC 5280, 4.2.1.10.
    """
    label = hostname.partition(".")[0].lower()
    dns = [f"{label}.local"] if _LABEL_ALONE.fullmatch(label) and label != "localhost" else []
    dns += [host.lower() for host in hosts if _is_dns_name(host.lower())]
    own = sorted({address for address in addresses if is_neighbour(address)}, key=ipaddress.ip_address)
    return PcNames(dns=tuple(dict.fromkeys(dns)), addresses=tuple(own))


def _is_dns_name(host: str) -> bool:
    # A last label of digits is an address, and no name.
    return _DOTTED.fullmatch(host) is not None and not host.rpartition(".")[2].isdigit()

"""Which SuperLinks this centre has, and which of them a region's schools connect to.

One holds 100 to 150 SuperNodes at a time. A centre with several gives each some regions: a school's PC is registered
with one of them alone, and the rounds take in what all have collected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from central.disk import CentreDisk


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperLinkSite:
    """One SuperLink: the address by which schools reach it, and the regions that it is for."""

    name: str
    """Of its folder under the centre's root; empty for a centre's only one."""
    address: str
    regions: tuple[str, ...] = ()
    """Empty: of every region that no other is for."""

    @property
    def host(self) -> str:
        """The name by which schools call it."""
        return self.address.rpartition(":")[0]

    @property
    def port(self) -> int:
        """Its port, on which the centre's own processes reach it over loopback: the Control API has no password."""
        return int(self.address.rpartition(":")[2])

    def root(self, disk: CentreDisk) -> Path:
        """Return the folder of its state, TLS files and Flower home."""
        return disk.superlinks / self.name if self.name else disk.superlink


def superlinks_read(text: str) -> tuple[SuperLinkSite, ...]:
    """Return the SuperLinks of `text`: HOST:PORT, or several NAME=HOST:PORT/REGION,REGION with semicolons between.

    Raises:
        ImproperlyConfigured: it cannot be read, or names two alike.
    """
    sites = tuple(_site(entry.strip()) for entry in text.split(";") if entry.strip())
    if len({site.name for site in sites}) != len(sites):
        raise ImproperlyConfigured("SORO_CENTRAL_FLEET must give each of several SuperLinks its own name")
    return sites


def superlinks() -> Sequence[SuperLinkSite]:
    """Return the SuperLinks of the settings in force; none where rounds take updates in by other ways."""
    return superlinks_read(settings.FLEET_ADDRESS)


def superlink_of(region: str) -> SuperLinkSite:
    """Return the SuperLink of a region's schools; one without a name or address where the centre has none."""
    sites = superlinks()
    own = [site for site in sites if region in site.regions]
    others = [site for site in sites if not site.regions]
    return next(iter((*own, *others, *sites)), SuperLinkSite(name="", address=""))


def _site(entry: str) -> SuperLinkSite:
    place, _slash, regions = entry.partition("/")
    name, is_named, address = place.rpartition("=")
    host, _colon, port = address.rpartition(":")
    if not host or not port.isdecimal() or (is_named and not name.replace("-", "").isalnum()):
        raise ImproperlyConfigured(f"SORO_CENTRAL_FLEET must be HOST:PORT or NAME=HOST:PORT/REGION,…, not {entry}")
    return SuperLinkSite(name=name, address=address, regions=tuple(filter(None, map(str.strip, regions.split(",")))))

"""What certificates of this PC depend on, read from the PC itself: its names, its addresses and its clock."""

from __future__ import annotations

import socket
from datetime import datetime
from pathlib import Path

from django.conf import settings

from federation.trust.tuf_client import time_floor
from node.https.names import PcNames, pc_names
from node.https.validity import ClockWord
from node.own_addresses import own_addresses
from node.status import clock_off_seconds


def names_of_here(host: str) -> PcNames:
    """Return the names of this PC, whose page listens on `host`."""
    return pc_names(hostname=socket.gethostname(), hosts=settings.ALLOWED_HOSTS, addresses=own_addresses(host))


def clock_of_here(root: Path, now: datetime) -> ClockWord:
    """Return what this PC's clock says with what the centre's signed times say of it."""
    return ClockWord(now=now, floor=time_floor(root / "tuf"), off_seconds=clock_off_seconds(root, now))

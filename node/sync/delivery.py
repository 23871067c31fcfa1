"""Hand a finished update in: by Flower with a lease and a SuperNode, or piece by piece by HTTPS (`ways` says which).

Either way it is done with on the centre's receipt alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings

from federation.errors import TransportError
from federation.trust.durable import durable_write
from federation.wire.enrolment import Fleet
from federation.wire.releases import CheckInAnswer
from node.rounds.models import LocalUpdate
from node.rounds.services import outbox_path, update_path
from node.rounds.supernode import Contact, FlowerClient, contact_hold, is_flower_installed
from node.sync.centre_clock import CentreClock
from node.sync.client import CentreClient
from node.sync.enrol import Enrolment
from node.sync.errors import SessionRefused
from node.sync.models import SyncLog
from node.sync.upload import update_upload
from node.sync.ways import Circumstances, Way, Word, tries_in_vain, way_choose

STEP = "update"
_REMEMBERED = 20
_RETRY_SECONDS = 60


def update_deliver(
    *,
    root: Path,
    enrolment: Enrolment,
    client: CentreClient,
    check_in: Callable[[], CheckInAnswer],
    clock: CentreClock,
    poll_seconds: float,
) -> tuple[int, Word]:
    """Return after how many seconds to try again (0: nothing is left to hand in), and a word on how it went.

    The oldest update goes first; `check_in` is asked until its receipt has come or the lease is over.

    Raises:
        TransportError, WireError: as the client.
    """
    update = _oldest(root)
    if update is None:
        return 0, Word.NOTHING
    way = way_choose(
        Circumstances(
            size_bytes=update.size_bytes,
            has_superlink=enrolment.fleet is not None,
            has_flower=is_flower_installed(),
            is_clock_right=clock.is_right_for_flower,
            tries=tries_in_vain(handing_in_words()),
        )
    )
    if way is Way.HTTPS or enrolment.fleet is None:
        return _by_https(root, update, client, check_in)
    return _by_flower(root, enrolment.fleet, update, client, check_in, poll_seconds)


def handing_in_words() -> Iterator[str]:
    """Return what the steps of handing in came to, newest first."""
    return SyncLog.objects.filter(step=STEP).order_by("-pk").values_list("detail", flat=True)[:_REMEMBERED].iterator()


def _by_https(
    root: Path, update: LocalUpdate, client: CentreClient, check_in: Callable[[], CheckInAnswer]
) -> tuple[int, Word]:
    content = update_path(root=root, update=update).read_bytes()
    update_upload(client=client, sha256=update.sha256, content=content)
    if not _is_received(update, check_in):
        return _RETRY_SECONDS, Word.JUDGED
    return _seconds_to_next(root), Word.UPLOADED


def _by_flower(
    root: Path,
    fleet: Fleet,
    update: LocalUpdate,
    client: CentreClient,
    check_in: Callable[[], CheckInAnswer],
    poll_seconds: float,
) -> tuple[int, Word]:
    lease = client.lease_ask(plan_id=update.plan_id)
    if not lease.granted:
        return max(1, lease.retry_after_seconds), Word.NO_LEASE
    report = contact_hold(
        contact=_contact(root, fleet.address, fleet.ca_certificate),
        is_received=lambda: _is_received(update, check_in),
        lease_seconds=max(0.0, (lease.expires_at - client.server_time()).total_seconds()),
        poll_seconds=poll_seconds,
    )
    return report.retry_after_seconds or _seconds_to_next(root), Word(report.end.value)


def _oldest(root: Path) -> LocalUpdate | None:
    """Return the update that has waited longest; one whose file a failing disk has lost holds up no other."""
    waiting = LocalUpdate.objects.waiting()
    return next((each for each in waiting if update_path(root=root, update=each).exists()), None)


def _seconds_to_next(root: Path) -> int:
    return 1 if _oldest(root) is not None else 0


def _contact(root: Path, address: str, ca_certificate: str) -> Contact:
    authority = root / "flower" / "authority.pem"
    authority.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    durable_write(authority, ca_certificate.encode())
    return Contact(
        superlink=address,
        authority=authority,
        node_key=root / "keys" / "node.pem",
        outbox=outbox_path(root),
        home=root / "flower" / "home",
        log_path=root / "logs" / "supernode.log",
        client=FlowerClient(settings.NODE_FLOWER_CLIENT),
    )


def _is_received(update: LocalUpdate, check_in: Callable[[], CheckInAnswer]) -> bool:
    try:
        check_in()
    except SessionRefused:
        # The centre has shut its doors to this node, and the SuperNode must not stay a moment longer.
        raise
    except TransportError:
        # The link may have dropped for a moment; the lease bounds how long this is hoped for.
        return False
    return not LocalUpdate.objects.waiting().filter(pk=update.pk).exists()

"""Hand a finished update in by Flower: a lease from the centre, a SuperNode, and out again on the centre's receipt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from federation.errors import TransportError
from federation.trust.durable import durable_write
from federation.wire.releases import CheckInAnswer
from node.rounds.models import LocalUpdate
from node.rounds.services import outbox_path
from node.rounds.supernode import Contact, FlowerClient, contact_hold
from node.sync.centre_clock import CentreClock
from node.sync.client import CentreClient
from node.sync.enrol import Enrolment
from node.sync.errors import ClockWrong, SessionRefused


def update_deliver(
    *,
    root: Path,
    enrolment: Enrolment,
    client: CentreClient,
    check_in: Callable[[], CheckInAnswer],
    clock: CentreClock,
    poll_seconds: float,
) -> tuple[int, str]:
    """Return after how many seconds to try again (0: nothing is left to hand in), and a word on how it went.

    The oldest update whose round is open is handed in; `check_in` is asked until its receipt has come or the lease is
    over.

    Raises:
        ClockWrong: the SuperLink would refuse whatever this PC signs; no place there is asked for.
        SupernodeUnavailable: this PC has no Flower.
        TransportError, WireError: as the client.
    """
    update = LocalUpdate.objects.waiting().filter(plan__closes_at__gt=clock.now()).first()
    if update is None or enrolment.fleet is None:
        return 0, "nothing to hand in"
    if not clock.is_right_for_flower:
        raise ClockWrong(skew_seconds=round(clock.skew_seconds))
    lease = client.lease_ask(plan_id=update.plan_id)
    if not lease.granted:
        return max(1, lease.retry_after_seconds), "no lease"
    report = contact_hold(
        contact=_contact(root, enrolment.fleet.address, enrolment.fleet.ca_certificate),
        is_received=lambda: _is_received(update, check_in),
        lease_seconds=max(0.0, (lease.expires_at - client.server_time()).total_seconds()),
        poll_seconds=poll_seconds,
    )
    return report.retry_after_seconds, report.end.value


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

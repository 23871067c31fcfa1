"""Hold contacts for as long as the node runs: at the centre's pace, or backing off while there is none.

A centre that answers badly is left alone ever longer; a link that is away is looked for every few seconds.
A PC without a school that has a claim on its disk enrols by it as soon as there is a link. When the school lets it, the
loop also starts the learning in another process, one at a time. It never gives up and never raises for a link.
"""

from __future__ import annotations

import logging
import random
import subprocess
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import close_old_connections

from federation.errors import FederationError
from federation.trust.errors import LinkLost, MetadataUnreachable
from federation.trust.tuf_client import time_floor
from node.children import child_environment, command_argv
from node.rounds.services import training_is_due, updates_find_shipped
from node.sync.backoff import LONGEST_SECONDS, LONGEST_UNLINKED_SECONDS, wait_seconds
from node.sync.change_over import staged_change_over
from node.sync.claim import Awaited, awaited
from node.sync.client import CentreClient
from node.sync.dark import neighbours_install
from node.sync.enrol import enrolment_read
from node.sync.errors import CentreUnreachable, CentreWithoutAddress, NotEnrolled
from node.sync.locks import contact_alone
from node.sync.rotation import key_rotate
from node.sync.self_enrol import claim_enrol
from node.sync.services import Contact, ContactReport, ContactTimes, retry_after_seconds
from node.sync.tls import Pin
from node.sync.transport import http_client

UNENROLLED_SECONDS = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """How a contact went, as far as the next one depends on it."""

    is_good: bool
    asked_seconds: float = 0.0
    spread_seconds: float = 0.0
    longest_seconds: float = LONGEST_SECONDS


def contact_once(*, root: Path, clock: Callable[[], datetime], times: ContactTimes) -> ContactReport:
    """Return how one contact went; another process of this node that is in contact is waited for.

    A PC that waits for its enrolment with a claim is enrolled by it first.

    Raises:
        FederationError: as `Contact.hold` and `claim_enrol`.
    """
    if awaited(root) is Awaited.LINK_OR_STICK:
        claim_enrol(root=root, clock=clock)
    with contact_alone(root):
        http, counter = http_client(pin=pin_read(root))
        with http:
            return Contact(root=root, http=http, counter=counter, clock=clock, times=times).hold()


def key_change(*, root: Path) -> str:
    """Return the id of the new key by which the centre knows this node from now on.

    Raises:
        FederationError: as `key_rotate`; NotEnrolled, CentreWithoutAddress.
    """
    with contact_alone(root):
        http, _counter = http_client(pin=pin_read(root))
        with http:
            enrolment = enrolment_read(root)
            if not enrolment.central_url:
                raise CentreWithoutAddress(school=enrolment.school)
            client = CentreClient(http=http, base_url=enrolment.central_url)
            return key_rotate(root=root, enrolment=enrolment, client=client)


def pin_read(root: Path) -> Pin | None:
    """Return the authority that this node has pinned, if any.

    Raises:
        NotEnrolled: it has no centre yet.
    """
    authority = enrolment_read(root).authority
    return Pin(certificates=authority, floor=time_floor(root / "tuf")) if authority else None


def contacts_hold(
    *, root: Path, clock: Callable[[], datetime], rng: random.Random, stopping: threading.Event, times: ContactTimes
) -> None:
    """Hold contacts until `stopping` is set."""
    failures = 0
    training: subprocess.Popen[bytes] | None = None
    # What lies here may say more to this program, or about a database that was put back, than was asked before.
    updates_find_shipped(root=root)
    while not stopping.is_set():
        tried = _try_contact(root, clock, times)
        failures = 0 if tried.is_good else failures + 1
        training = _train_when_due(root, clock(), training)
        close_old_connections()
        stopping.wait(
            wait_seconds(
                failures=failures,
                asked_seconds=tried.asked_seconds,
                spread_seconds=tried.spread_seconds,
                longest_seconds=tried.longest_seconds,
                rng=rng,
            )
        )
    if training is not None and training.poll() is None:
        training.terminate()


def _try_contact(root: Path, clock: Callable[[], datetime], times: ContactTimes) -> _Tried:
    try:
        report = contact_once(root=root, clock=clock, times=times)
    except CentreWithoutAddress:
        _change_over(root, clock)
        return _Tried(is_good=True, asked_seconds=UNENROLLED_SECONDS)
    except NotEnrolled:
        return _Tried(is_good=True, asked_seconds=UNENROLLED_SECONDS)
    except FederationError as error:
        _log.warning("no contact: %s", error)
        if awaited(root) is Awaited.NOTHING:
            _go_on_alone(root, clock, is_link_away=_is_link_away(error))
        return _failed([error])
    _log.info(
        "contact held: %d bytes up, %d down, failed steps: %s",
        report.bytes_up, report.bytes_down, ", ".join(report.failures) or "none",
    )  # fmt: skip
    if any(_is_link_away(error) for error in report.failures.values()):
        return _failed(tuple(report.failures.values()))
    return _Tried(is_good=True, asked_seconds=report.next_seconds, spread_seconds=report.spread_seconds)


def _go_on_alone(root: Path, clock: Callable[[], datetime], *, is_link_away: bool) -> None:
    if is_link_away:
        _dark_install(root, clock)
    _change_over(root, clock)


def _dark_install(root: Path, clock: Callable[[], datetime]) -> None:
    """Go on with the assigned release from the school's other PCs, where they have more of it."""
    try:
        with contact_alone(root):
            neighbours_install(root=root, clock=clock)
    except FederationError as error:
        _log.info("nothing came from neighbours: %s", error)


def _change_over(root: Path, clock: Callable[[], datetime]) -> None:
    """Change over to what lies ready, if its time has come while no centre can be asked."""
    try:
        with contact_alone(root):
            staged_change_over(root=root, clock=clock)
    except FederationError as error:
        _log.warning("what is staged here waits: %s", error)


def _failed(errors: Collection[FederationError]) -> _Tried:
    is_link_away = any(_is_link_away(error) for error in errors)
    asked_seconds = retry_after_seconds(errors)
    return _Tried(
        is_good=False,
        asked_seconds=asked_seconds,
        # Those whom one overload has turned away together must not return together.
        spread_seconds=asked_seconds / 3,
        longest_seconds=LONGEST_UNLINKED_SECONDS if is_link_away else LONGEST_SECONDS,
    )


def _is_link_away(error: FederationError) -> bool:
    """Tell whether nothing answered, rather than something that said no."""
    if isinstance(error, MetadataUnreachable):
        return error.fields["status"] == 0
    return isinstance(error, CentreUnreachable | LinkLost)


def _train_when_due(
    root: Path, now: datetime, training: subprocess.Popen[bytes] | None
) -> subprocess.Popen[bytes] | None:
    if training is not None and training.poll() is None:
        return training
    if not settings.NODE_TRAINS_AT_NIGHT or not training_is_due(root=root, now=now):
        return None
    # Lowest priority: what a teacher does on this PC comes first, as a pupil's question does.
    return subprocess.Popen(["nice", "-n", "19", *command_argv("train", "--unasked")], env=child_environment(root))

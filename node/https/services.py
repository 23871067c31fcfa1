"""The only writer of `https/` under the node's root: the head's switch, the authority and the server's certificate.

None of it is in a backup: it is this PC's alone, as the node's key is. In order of a switch: the authority is made
once, the certificate is issued, and only then the door is told. Forgetting leaves nothing, and is for a shut door.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from federation.trust.durable import durable_write
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse
from node.https.certificates import (
    Authority,
    authority_make,
    authority_parse,
    authority_pem,
    server_issue,
    server_parse,
    validity_of,
)
from node.https.errors import HttpsAddressMissing, HttpsAuthorityUnreadable, HttpsClockWrong, HttpsSwitchedOn
from node.https.names import PcNames
from node.https.validity import ClockWord, authority_validity, is_renewal_due, server_validity

_FOLDER = "https"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """What was decided last, by whom and when."""

    is_on: bool
    changed_by: str
    changed_at: datetime


def switch_read(root: Path) -> Switch | None:
    """Return what was decided last; None where nobody ever did, which is off."""
    try:
        return parse(Switch, _switch_path(root).read_bytes())
    except (FileNotFoundError, MalformedDocument):
        return None


def is_switched_on(root: Path) -> bool:
    """Return whether the head wants the page by HTTPS."""
    switch = switch_read(root)
    return switch is not None and switch.is_on


def switch_on(*, root: Path, names: PcNames, clock: ClockWord, by: str) -> None:
    """Have the page served over HTTPS from the door's next look on; an authority from before serves again.

    Raises:
        HttpsAddressMissing: the PC has no private address; nothing was changed.
        HttpsClockWrong: a certificate would be signed by a wrong clock; nothing was changed.
        HttpsAuthorityUnreadable: the authority from before is damaged; it must be forgotten first.
    """
    if authority_read(root) is None:
        if not names.addresses:
            raise HttpsAddressMissing
        if not clock.is_believable:
            raise HttpsClockWrong
        authority = authority_make(names=names, validity=authority_validity(clock.now))
        (root / _FOLDER).mkdir(mode=0o700, exist_ok=True)
        durable_write(_authority_path(root), authority_pem(authority), mode=0o600)
        _log.info("https: an authority was made, SHA-256 %s", authority.fingerprint)
    certificate_keep(root=root, now=clock.now, clock_of=lambda: clock)
    _switch(root, Switch(is_on=True, changed_by=by, changed_at=clock.now))


def switch_off(*, root: Path, by: str, now: datetime) -> None:
    """Have the door shut; the authority stays, so that telephones which trust it need nothing when it opens again."""
    if is_switched_on(root):
        _switch(root, Switch(is_on=False, changed_by=by, changed_at=now))


def authority_forget(*, root: Path, by: str) -> None:
    """Leave neither key nor certificate: what telephones were told to trust says nothing any more.

    Raises:
        HttpsSwitchedOn: the door is to be open; nothing was changed.
    """
    if is_switched_on(root):
        raise HttpsSwitchedOn
    _authority_path(root).unlink(missing_ok=True)
    if (root / _FOLDER).exists():
        shutil.rmtree(root / _FOLDER)
    _log.info("https: the authority was forgotten by %s", by)


def authority_read(root: Path) -> Authority | None:
    """Return the authority, or None where none was made.

    Raises:
        HttpsAuthorityUnreadable: its file is damaged.
    """
    path = _authority_path(root)
    try:
        return authority_parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise HttpsAuthorityUnreadable(path=str(path)) from error


def certificate_keep(*, root: Path, now: datetime, clock_of: Callable[[], ClockWord]) -> Path:
    """Return the file with a certificate that serves, issued anew where that is due; `clock_of` is asked only then.

    A certificate that is due stays where the clock is known to be wrong: it may still hold on telephones.

    Raises:
        HttpsAuthorityUnreadable: there is no authority, or its file is damaged.
        HttpsClockWrong: there is no certificate yet, and none can be signed.
    """
    path, authority = root / _FOLDER / "server.pem", authority_read(root)
    if authority is None:
        raise HttpsAuthorityUnreadable(path=str(_authority_path(root)))
    served = _served(path, authority)
    if served is not None and not is_renewal_due(validity_of(served), now=now, authority=authority.validity):
        return path
    clock = clock_of()
    if clock.is_believable and clock.now >= authority.validity.begins_at:
        validity = server_validity(clock.now, authority=authority.validity)
        durable_write(path, server_issue(authority=authority, names=authority.names, validity=validity), mode=0o600)
        _log.info("https: a certificate was issued until %s", validity.ends_at.date())
    elif served is None:
        raise HttpsClockWrong
    return path


def _served(path: Path, authority: Authority) -> x509.Certificate | None:
    """Return the server's certificate at `path`, or None where it is none, or another authority's."""
    try:
        server, signer = server_parse(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return server if signer == authority.signer else None


def _switch(root: Path, switch: Switch) -> None:
    (root / _FOLDER).mkdir(mode=0o700, exist_ok=True)
    durable_write(_switch_path(root), canonical_bytes(switch))
    _log.info("https: switched %s by %s", "on" if switch.is_on else "off", switch.changed_by)


def _switch_path(root: Path) -> Path:
    return root / _FOLDER / "switch.json"


def _authority_path(root: Path) -> Path:
    return root / _FOLDER / "authority.pem"

"""What of the centre's trust needs a person: metadata that runs out, changes that wait, keys in the wrong place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from central.disk import CentreDisk
from federation.errors import FederationError
from federation.trust.errors import RepositoryMissing
from federation.trust.tuf_roles import changes_waiting, roles_read


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One thing that somebody should do, in words."""

    text: str
    is_urgent: bool
    """Whether schools will soon refuse new releases, or do already."""

    def __str__(self) -> str:
        return self.text


def alarms_read(*, disk: CentreDisk, now: datetime) -> tuple[Alarm, ...]:
    """Return the alarms in force, the urgent ones first; without keys there are none."""
    try:
        states = roles_read(root=disk.tuf, keys=disk.keys)
        waiting = changes_waiting(root=disk.tuf)
    except RepositoryMissing:
        return ()
    except FederationError as error:
        return (Alarm(text=_("The signed metadata cannot be read: %s") % error, is_urgent=True),)
    expiring = [
        Alarm(
            text=_("The metadata of %(role)s ends on %(date)s; what to do stands in docs/operations.md.")
            % {"role": state.role, "date": f"{state.expires_at:%Y-%m-%d}"},
            is_urgent=True,
        )
        for state in states
        if state.is_expiring(now)
    ]
    unsigned = [
        Alarm(
            text=_("Version %(version)d of %(role)s waits for signatures; see: keys show.")
            % {"role": each.role, "version": each.version},
            is_urgent=False,
        )
        for each in waiting
    ]
    return (*expiring, *unsigned)


def misplaced_keys(*, disk: CentreDisk) -> tuple[str, ...]:
    """Return the paths of private keys on this machine that belong in a safe."""
    try:
        states = roles_read(root=disk.tuf, keys=disk.keys)
    except FederationError:
        return ()
    return tuple(str(key.file.path) for state in states if state.is_offline for key in state.keys if key.file)

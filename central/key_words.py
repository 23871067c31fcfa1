"""What `central keys` and the checks say of roles, keys and waiting signatures, in words for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from federation.trust.key_sightings import Sighting
from federation.trust.tuf_changes import Waiting
from federation.trust.tuf_requests import Proposal
from federation.trust.tuf_roles import RoleKey, RoleState

SHOWN_DIGITS = 12


def role_lines(state: RoleState, seen: Mapping[str, Sighting], now: datetime) -> list[str]:
    """Return a role's line and one line a key."""
    days = (state.expires_at - now).days
    warning = "  RENEW NOW" if state.is_expiring(now) else ""
    place = "offline" if state.is_offline else "on this server"
    line = f"{state.role}: {state.threshold} of {len(state.keys)} must sign, {place}; version {state.version}"
    life = f"until {state.expires_at:%Y-%m-%d} ({days} days){warning}"
    return [f"{line} {life}", *(f"  {_key_words(key, seen.get(key.key_id), state)}" for key in state.keys)]


def waiting_lines(waiting: Iterable[Waiting]) -> list[str]:
    """Return what waits for signatures, and whose would count."""
    return [
        f"Waiting: {each.role} {each.version} {_lack(each.missing)}; signed by {_short(each.signed) or 'nobody'}; "
        f"may sign: {_short(each.may_sign) or 'nobody more'}; fingerprint {each.fingerprint}"
        for each in waiting
    ]


def _lack(missing: int) -> str:
    return f"lacks at least {missing} signature(s)" if missing else "is signed and comes into force with the rest"


def proposal_lines(proposals: Iterable[Proposal]) -> list[str]:
    """Return what a signing request would change, for the eyes of whoever signs."""
    lines = []
    for each in proposals:
        lines.append(f"{each.role} {each.version}, valid until {each.expires_at:%Y-%m-%d}")
        lines.append(f"  fingerprint {each.fingerprint}")
        lines.extend(f"  {line}" for line in each.lines or ("nothing but version and expiry",))
    return lines


def _key_words(key: RoleKey, seen: Sighting | None, state: RoleState) -> str:
    short = key.key_id[:SHOWN_DIGITS]
    if key.file is not None:
        guard = "encrypted" if key.file.is_encrypted else "in the clear"
        misplaced = "  BELONGS ON A STICK IN A SAFE" if state.is_offline else ""
        return f"{short}  {key.file.path} ({guard}){misplaced}"
    if seen is None:
        return f"{short}  never seen on this machine"
    return f"{short}  {seen.name}, last seen {seen.at:%Y-%m-%d} at {seen.path}"


def _short(key_ids: Iterable[str]) -> str:
    return ", ".join(each[:SHOWN_DIGITS] for each in key_ids)

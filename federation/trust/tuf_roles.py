"""Who may sign what: every role with its keys, and how a key is replaced, withdrawn, or given more time.

A role here is one of TUF's four, or `director` or `courier`, whose keys stand in the targets metadata. A change of any
of TUF's keys is a new root; a change of these two is new targets. Both are staged, and in force once signed.
Source: TUF specification 1.0.33, §6.1; the director is the Uptane standard's, with one online key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from federation.trust.courier_keys import COURIER, courier_files_find
from federation.trust.errors import KeyNotInForce, KeysTooFew, RepositoryMissing, RoleUnknown
from federation.trust.key_files import KeyFile, PublicKey, key_file_create, key_files_find
from federation.trust.keys import VerifyingKey, key_id, node_key_create, public_key_load, public_pem
from federation.trust.tuf_changes import (
    Waiting,
    changes_settle,
    root_stage,
    root_view,
    targets_stage,
    targets_view,
    waiting_read,
)
from federation.trust.tuf_files import OFFLINE_ROLES, ONLINE_ROLES, RepositoryFiles, tuf_key
from federation.trust.tuf_publisher import COURIER_KEY_FIELD, DIRECTOR_KEY_FIELD

DIRECTOR = "director"
ROLES = (Root.type, Targets.type, Snapshot.type, Timestamp.type, DIRECTOR, COURIER)
_FIELDS = {DIRECTOR: DIRECTOR_KEY_FIELD, COURIER: COURIER_KEY_FIELD}
"""Where the targets metadata names the key of a role that is none of TUF's."""
ALARM_BEFORE = {
    Root.type: timedelta(days=180),
    Targets.type: timedelta(days=60),
    Snapshot.type: timedelta(days=10),
    Timestamp.type: timedelta(days=10),
}
"""How long before its expiry a role's metadata is worth an alarm: ceremonies take weeks, mending a worker days."""
SHORTEST_ID = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleKey:
    """A key of a role."""

    key_id: str
    file: KeyFile | None
    """Its file under the centre's keys; None: the private half is elsewhere, as it should be for root and targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleState:
    """A role as it is in force."""

    role: str
    threshold: int
    version: int
    expires_at: datetime
    keys: tuple[RoleKey, ...]

    @property
    def is_offline(self) -> bool:
        """Tell whether its private keys belong in a safe."""
        return self.role in OFFLINE_ROLES

    def is_expiring(self, now: datetime) -> bool:
        """Tell whether somebody should renew it now."""
        return self.role in ALARM_BEFORE and self.expires_at - now < ALARM_BEFORE[self.role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of a change of keys."""

    key_id: str
    """Of the new key; empty where none came in."""
    path: str
    """Where its private half was made; empty where it was made elsewhere."""
    waiting: tuple[Waiting, ...]


def roles_read(*, root: Path, keys: Path) -> tuple[RoleState, ...]:
    """Return every role as it is in force.

    Raises:
        RepositoryMissing: nothing is published under `root`.
    """
    files = RepositoryFiles(root)
    published = files.published_root()
    if published is None:
        raise RepositoryMissing(root=str(root))
    targets = files.published_targets().signed
    signed = {
        Root.type: published.signed,
        Targets.type: targets,
        Snapshot.type: files.published_snapshot().signed,
        Timestamp.type: files.published_timestamp().signed,
    }
    at_hand = {file.key_id: file for file in keys_at_hand(keys)}
    states = []
    for name, metadata in signed.items():
        role = published.signed.roles[name]
        states.append(
            RoleState(
                role=name,
                threshold=role.threshold,
                version=metadata.version,
                expires_at=metadata.expires,
                keys=tuple(RoleKey(key_id=each, file=at_hand.get(each)) for each in role.keyids),
            )
        )
    for name in _FIELDS:
        named = _named_id(targets, name)
        keyed = (RoleKey(key_id=named, file=at_hand.get(named)),)
        states.append(
            RoleState(role=name, threshold=1, version=targets.version, expires_at=targets.expires, keys=keyed)
        )
    return tuple(states)


def keys_at_hand(keys: Path) -> tuple[KeyFile, ...]:
    """Return every private key under `keys`, of whichever role."""
    return (*key_files_find(keys), *courier_files_find(keys))


def changes_waiting(*, root: Path) -> tuple[Waiting, ...]:
    """Return the staged changes that lack signatures."""
    return waiting_read(RepositoryFiles(root))


def key_rotate(
    *, root: Path, keys: Path, role: str, now: datetime, old: str = "", new: PublicKey | None = None
) -> Change:
    """Put a new key in the place of `old`, which may be left out where the role has only one.

    `new` is a public half whose private one was made offline; without it, the key is made under `keys`.

    Raises:
        RoleUnknown: there is no such role.
        KeyNotInForce: the role has no such key, or several and none was named.
        RepositoryMissing, KeyUnreadable: as the publisher.
    """
    if role not in ROLES:
        raise RoleUnknown(role=role)
    files = RepositoryFiles(root)
    with files.locked():
        replaced = _one_key(_key_ids(files, role), old)
        path = None if new is not None else _new_path(keys, role)
        public = _key_make(path, role) if path is not None else new
        if role in _FIELDS:
            _named_replace(files, role, public, now)
        else:
            _role_key_replace(files, role, replaced, public, now)
        waiting = changes_settle(files, keys, now)
    return Change(key_id=key_id(public) if public else "", path=str(path or ""), waiting=waiting)


def key_revoke(*, root: Path, keys: Path, key: str, now: datetime, new: PublicKey | None = None) -> Change:
    """Withdraw the key whose id begins with `key` from the role that has it; a role's only key is replaced.

    Raises:
        KeyNotInForce: no role has it, or several keys begin so.
        KeysTooFew: the role needs as many keys as it has, and no new one was given.
        RepositoryMissing, KeyUnreadable: as the publisher.
    """
    files = RepositoryFiles(root)
    holders = {each: role for role in ROLES for each in _key_ids(files, role)}
    found = _one_key(tuple(holders), key)
    role = holders[found]
    if role != Root.type or new is not None:
        return key_rotate(root=root, keys=keys, role=role, old=found, new=new, now=now)
    with files.locked():
        view = root_view(files)
        threshold = view.roles[role].threshold
        if len(view.roles[role].keyids) <= threshold:
            raise KeysTooFew(role=role, threshold=threshold)
        view.revoke_key(found, role)
        root_stage(files, view, now)
        return Change(key_id="", path="", waiting=changes_settle(files, keys, now))


def role_renew(*, root: Path, keys: Path, role: str, now: datetime) -> Change:
    """Stage root or targets as they are, with a new expiry.

    Raises:
        RoleUnknown: only these two are renewed by hand.
        RepositoryMissing, KeyUnreadable: as the publisher.
    """
    if role not in OFFLINE_ROLES:
        raise RoleUnknown(role=role)
    files = RepositoryFiles(root)
    with files.locked():
        if role == Root.type:
            root_stage(files, root_view(files), now)
        else:
            targets_stage(files, targets_view(files), now)
        return Change(key_id="", path="", waiting=changes_settle(files, keys, now))


def keys_orphaned(*, root: Path, keys: Path) -> tuple[KeyFile, ...]:
    """Return the private keys under `keys` that neither a role in force nor a staged change has any use for."""
    files = RepositoryFiles(root)
    known = {each for role in ROLES for each in _key_ids(files, role)}
    known |= {each.key_id for state in roles_read(root=root, keys=keys) for each in state.keys}
    return tuple(file for file in key_files_find(keys) if file.key_id not in known)


def _key_make(path: Path, role: str) -> VerifyingKey:
    # Nothing can be sealed to an Ed25519 key.
    return node_key_create(path).public_key() if role == COURIER else key_file_create(path).public


def _role_key_replace(files: RepositoryFiles, role: str, old: str, public: VerifyingKey | None, now: datetime) -> None:
    view = root_view(files)
    view.revoke_key(old, role)
    if public is not None:
        view.add_key(tuf_key(public), role)
    root_stage(files, view, now)


def _named_replace(files: RepositoryFiles, role: str, public: VerifyingKey | None, now: datetime) -> None:
    view = targets_view(files)
    if public is not None:
        view.unrecognized_fields[_FIELDS[role]] = public_pem(public)
    targets_stage(files, view, now)


def _key_ids(files: RepositoryFiles, role: str) -> tuple[str, ...]:
    """Return the ids of the role's keys as they will be once all that is staged is signed."""
    return (_named_id(targets_view(files), role),) if role in _FIELDS else tuple(root_view(files).roles[role].keyids)


def _named_id(targets: Targets, role: str) -> str:
    return key_id(public_key_load(str(targets.unrecognized_fields[_FIELDS[role]])))


def _one_key(among: tuple[str, ...], wanted: str) -> str:
    is_named = len(wanted) >= SHORTEST_ID
    found = [each for each in among if each.startswith(wanted)] if is_named or not wanted else []
    if len(found) != 1:
        raise KeyNotInForce(key=wanted or "*")
    return found[0]


def _new_path(keys: Path, role: str) -> Path:
    folder = keys if role in _FIELDS else keys / ("online" if role in ONLINE_ROLES else "offline")
    number = next(count for count in range(2, 10_000) if not (folder / f"{role}-{count}.pem").exists())
    return folder / f"{role}-{number}.pem"

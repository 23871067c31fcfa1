"""Carry what waits for signatures to a PC without a network, sign it there, and carry the signatures back.

A signing request is a folder on a stick: what is staged, with the signatures so far, beside what is in force now. The
offline PC needs the folder and one key file; it shows what would change, and adds one signature. The centre takes back
signatures alone, and only ones on the very bytes that it has staged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from securesystemslib.exceptions import UnverifiedSignatureError
from tuf.api.metadata import Metadata, Root, Targets

from federation.trust.durable import durable_write
from federation.trust.errors import KeyNotNeeded, MetadataDamaged, RequestOutdated, RequestUnreadable
from federation.trust.key_files import KeyFile, Passphrase, key_file_open
from federation.trust.keys import key_id, public_key_load
from federation.trust.tuf_changes import Waiting, changes_settle, signature_add, signers_allowed, waiting_read
from federation.trust.tuf_files import OFFLINE_ROLES, OfflineMetadata, RepositoryFiles, root_parse, targets_parse
from federation.trust.tuf_publisher import COURIER_KEY_FIELD, DIRECTOR_KEY_FIELD
from federation.wire.canonical import sha256_hex

STAGED, IN_FORCE = "staged", "metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What one staged file would change, for the person who is asked to sign it."""

    role: str
    version: int
    expires_at: datetime
    fingerprint: str
    lines: tuple[str, ...]
    """Each a key or target that comes (`+ …`) or goes (`- …`)."""


def request_export(*, root: Path, into: Path) -> tuple[Waiting, ...]:
    """Leave a signing request in the folder `into` and return what it asks for.

    Raises:
        RequestOutdated: nothing waits for signatures.
    """
    files = RepositoryFiles(root)
    with files.locked():
        waiting = waiting_read(files)
        if not waiting:
            raise RequestOutdated(role="")
        (into / STAGED).mkdir(parents=True, exist_ok=True)
        (into / IN_FORCE).mkdir(exist_ok=True)
        for role in OFFLINE_ROLES:
            _copy(into / STAGED / f"{role}.json", files.staged_bytes(role))
        published = files.published_root()
        _copy(into / IN_FORCE / f"{Root.type}.json", published.to_bytes() if published else None)
        targets = files.published_targets().to_bytes() if files.is_published() else None
        _copy(into / IN_FORCE / f"{Targets.type}.json", targets)
    return waiting


def request_proposals(*, request: Path) -> tuple[Proposal, ...]:
    """Return what the request in the folder `request` would change.

    Raises:
        RequestUnreadable: it is none, or damaged.
    """
    proposals = []
    root, targets = _read_root(request / STAGED), _read_targets(request / STAGED)
    if root is not None:
        before = _read_root(request / IN_FORCE)
        lines = _difference(_root_lines(before.signed if before else None), _root_lines(root.signed))
        proposals.append(_proposal(root, lines))
    if targets is not None:
        old = _read_targets(request / IN_FORCE)
        lines = _difference(_targets_lines(old.signed if old else None), _targets_lines(targets.signed))
        proposals.append(_proposal(targets, lines))
    if not proposals:
        raise RequestUnreadable(path=str(request))
    return tuple(proposals)


def request_sign(*, request: Path, key: KeyFile, passphrase: Passphrase) -> tuple[str, ...]:
    """Add the signature of `key` to every file of the request that it counts for; return their roles.

    Raises:
        RequestUnreadable: the request is none, or damaged.
        KeyNotNeeded: the key counts for nothing in it.
        KeyUnreadable, PassphraseWrong: the key file does not open.
    """
    roots = [found.signed for found in (_read_root(request / IN_FORCE), _read_root(request / STAGED)) if found]
    root, targets = _read_root(request / STAGED), _read_targets(request / STAGED)
    staged: list[OfflineMetadata] = [metadata for metadata in (root, targets) if metadata is not None]
    wanted = [each for each in staged if any(key.key_id in above.roles[each.signed.type].keyids for above in roots)]
    if not wanted:
        raise KeyNotNeeded(path=str(key.path))
    private = key_file_open(key, passphrase=passphrase)
    for metadata in wanted:
        signature_add(metadata, private)
        durable_write(request / STAGED / f"{metadata.signed.type}.json", metadata.to_bytes())
    return tuple(metadata.signed.type for metadata in wanted)


def staged_sign(*, root: Path, keys: Path, key: KeyFile, passphrase: Passphrase, now: datetime) -> tuple[Waiting, ...]:
    """Add the signature of a key file that is only plugged in for it, and publish what is complete; return the rest.

    Raises:
        RequestOutdated: nothing waits for signatures.
        KeyNotNeeded: the key counts for nothing of what waits.
        KeyUnreadable, PassphraseWrong: the key file does not open.
    """
    files = RepositoryFiles(root)
    with files.locked():
        staged: list[OfflineMetadata] = [
            each for each in (files.staged_root(), files.staged_targets()) if each is not None
        ]
        if not staged:
            raise RequestOutdated(role="")
        wanted = [each for each in staged if key.key_id in signers_allowed(files, each.signed.type)]
        if not wanted:
            raise KeyNotNeeded(path=str(key.path))
        private = key_file_open(key, passphrase=passphrase)
        for metadata in wanted:
            signature_add(metadata, private)
            files.stage(metadata)
        return changes_settle(files, keys, now)


def request_import(*, root: Path, keys: Path, request: Path, now: datetime) -> tuple[Waiting, ...]:
    """Take the request's signatures back, publish what they complete, and return what still waits.

    Raises:
        RequestUnreadable: the request is none, or damaged.
        RequestOutdated: it is not for what waits now; nothing is taken.
        KeyUnreadable: an online key is not on this machine.
    """
    signed = [each for each in (_read_root(request / STAGED), _read_targets(request / STAGED)) if each is not None]
    if not signed:
        raise RequestUnreadable(path=str(request))
    files = RepositoryFiles(root)
    with files.locked():
        staged = {role: files.staged_root() if role == Root.type else files.staged_targets() for role in OFFLINE_ROLES}
        for metadata in signed:
            own = staged[metadata.signed.type]
            if own is None or own.signed_bytes != metadata.signed_bytes:
                raise RequestOutdated(role=metadata.signed.type)
        for metadata in signed:
            _signatures_take(files, metadata)
        return changes_settle(files, keys, now)


def _signatures_take(files: RepositoryFiles, metadata: OfflineMetadata) -> None:
    """Keep the valid signatures of keys that count; whatever else the stick has brought is left on it."""
    role = metadata.signed.type
    own: OfflineMetadata | None = files.staged_root() if role == Root.type else files.staged_targets()
    if own is None:
        return
    roots = [found.signed for found in (files.published_root(), files.staged_root()) if found is not None]
    known = {each: root.keys[each] for root in roots for each in root.roles[role].keyids}
    for each, signature in metadata.signatures.items():
        try:
            if each in known:
                known[each].verify_signature(signature, own.signed_bytes)
                own.signatures[each] = signature
        except (UnverifiedSignatureError, InvalidSignature):
            continue
    files.stage(own)


def _proposal(metadata: OfflineMetadata, lines: tuple[str, ...]) -> Proposal:
    return Proposal(
        role=metadata.signed.type,
        version=metadata.signed.version,
        expires_at=metadata.signed.expires,
        fingerprint=sha256_hex(metadata.signed_bytes),
        lines=lines,
    )


def _difference(before: frozenset[str], after: frozenset[str]) -> tuple[str, ...]:
    return (*(f"- {line}" for line in sorted(before - after)), *(f"+ {line}" for line in sorted(after - before)))


def _root_lines(root: Root | None) -> frozenset[str]:
    roles = root.roles.items() if root is not None else ()
    keys = {f"{name} key {each}" for name, role in roles for each in role.keyids}
    return frozenset(keys | {f"{name} threshold {role.threshold}" for name, role in roles})


def _targets_lines(targets: Targets | None) -> frozenset[str]:
    if targets is None:
        return frozenset()
    named = {"director": DIRECTOR_KEY_FIELD, "courier": COURIER_KEY_FIELD}
    keys = (
        f"{name} key {key_id(public_key_load(str(targets.unrecognized_fields.get(field))))}"
        for name, field in named.items()
    )
    entries = (f"{path} sha256 {entry.hashes.get('sha256')}" for path, entry in targets.targets.items())
    return frozenset((*keys, *entries))


def _read_root(folder: Path) -> Metadata[Root] | None:
    content = _read(folder / f"{Root.type}.json")
    try:
        return root_parse(content) if content else None
    except MetadataDamaged as error:
        raise RequestUnreadable(path=str(folder)) from error


def _read_targets(folder: Path) -> Metadata[Targets] | None:
    content = _read(folder / f"{Targets.type}.json")
    try:
        return targets_parse(content) if content else None
    except MetadataDamaged as error:
        raise RequestUnreadable(path=str(folder)) from error


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RequestUnreadable(path=str(path)) from error


def _copy(path: Path, content: bytes | None) -> None:
    """Leave the content at `path`, or nothing where there is none: an older request may lie in the folder."""
    if content is None:
        path.unlink(missing_ok=True)
    else:
        durable_write(path, content)

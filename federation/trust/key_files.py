"""Key files of TUF's roles and of the director: one PEM file a key, on this disk or on a stick.

A file holds the public half in the clear and the private half, encrypted where somebody chose a passphrase, so that
one can see which key a file is without opening it. PEM's own encryption stretches a passphrase far too little
(2,048 rounds of PBKDF2): scrypt makes the password that it gets. Source: RFC 7914, §2; OWASP's cost of 2^17.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from federation.errors import CapacityError
from federation.trust.durable import durable_write
from federation.trust.keys import DirectorKey, KeyExists, KeyUnreadable, VerifyingKey, key_id, public_pem

SCRYPT_COST = 2**17
SCRYPT_MEMORY_BYTES = 256 * 1024 * 1024
PUBLIC_SUFFIX = ".pub.pem"
PublicKey: TypeAlias = ed25519.Ed25519PublicKey
Passphrase: TypeAlias = Callable[[Path], str]
"""Answers with the passphrase of the encrypted key file at a path."""


class PassphraseWrong(CapacityError):
    """The passphrase does not open the key file at `path`."""

    code = "passphrase_wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """What a key file shows without its passphrase."""

    path: Path
    name: str
    """The file's name without its ending, such as `root-1`."""
    public: VerifyingKey
    is_encrypted: bool

    @property
    def key_id(self) -> str:
        """The key's id, by which metadata names it."""
        return key_id(self.public)


def key_file_create(path: Path, *, passphrase: str = "") -> KeyFile:
    """Leave a new Ed25519 key at `path`, mode 0600; with a passphrase it is encrypted.

    Raises:
        KeyExists: a file is already there.
    """
    if path.exists():
        raise KeyExists(path=str(path))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ed25519.Ed25519PrivateKey.generate()
    encryption = (
        serialization.BestAvailableEncryption(_password(passphrase, key.public_key()))
        if passphrase
        else serialization.NoEncryption()
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    durable_write(path, public_pem(key).encode() + private, mode=0o600)
    return key_file_look(path)


def key_file_look(path: Path) -> KeyFile:
    """Return what the key file at `path` shows.

    Raises:
        KeyUnreadable: it is missing or no key file.
    """
    try:
        content = path.read_bytes()
        is_encrypted = b"BEGIN ENCRYPTED PRIVATE KEY" in content
        if b"BEGIN PUBLIC KEY" in content:
            public: object = serialization.load_pem_public_key(content)
        else:
            public = getattr(serialization.load_pem_private_key(content, password=None), "public_key", object)()
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnreadable(path=str(path), problem=type(error).__name__) from error
    if not isinstance(public, ed25519.Ed25519PublicKey) or b"PRIVATE KEY" not in content:
        raise KeyUnreadable(path=str(path), problem="not an Ed25519 key file")
    return KeyFile(path=path, name=path.stem, public=public, is_encrypted=is_encrypted)


def key_file_open(file: KeyFile, *, passphrase: Passphrase) -> DirectorKey:
    """Return the private key; `passphrase` is asked only where the file is encrypted.

    Raises:
        KeyUnreadable: the file is damaged, or its halves are not of one key.
        PassphraseWrong: the passphrase is not the one that it was encrypted with.
    """
    password = _password(passphrase(file.path), file.public) if file.is_encrypted else None
    try:
        key = serialization.load_pem_private_key(file.path.read_bytes(), password=password)
    except ValueError as error:
        if file.is_encrypted:
            raise PassphraseWrong(path=str(file.path)) from error
        raise KeyUnreadable(path=str(file.path), problem="ValueError") from error
    except (OSError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnreadable(path=str(file.path), problem=type(error).__name__) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey) or key_id(key) != file.key_id:
        raise KeyUnreadable(path=str(file.path), problem="the halves are not of one key")
    return key


def key_files_find(folder: Path) -> tuple[KeyFile, ...]:
    """Return all key files under `folder`, in the order of their paths; other files there are no matter."""
    found = []
    for path in sorted(folder.rglob("*.pem")):
        try:
            found.append(key_file_look(path))
        except KeyUnreadable:
            continue
    return tuple(found)


def public_file_write(file: KeyFile, *, into: Path) -> Path:
    """Return the file under `into` that now holds the public half alone: what travels from the offline PC."""
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{file.name}{PUBLIC_SUFFIX}"
    durable_write(path, public_pem(file.public).encode())
    return path


def public_file_read(path: Path) -> PublicKey:
    """Return the public half that lies at `path`; a key file has one too.

    Raises:
        KeyUnreadable: there is none of an Ed25519 key.
    """
    try:
        public = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnreadable(path=str(path), problem=type(error).__name__) from error
    if not isinstance(public, ed25519.Ed25519PublicKey):
        raise KeyUnreadable(path=str(path), problem="not an Ed25519 key")
    return public


def _password(passphrase: str, public: VerifyingKey) -> bytes:
    """Stretch the passphrase; the key's own id is the salt, so that no table serves two keys."""
    salt = bytes.fromhex(key_id(public))
    stretched = hashlib.scrypt(
        passphrase.encode(), salt=salt, n=SCRYPT_COST, r=8, p=1, maxmem=SCRYPT_MEMORY_BYTES, dklen=32
    )
    return stretched.hex().encode()

"""Make, keep and read signing keys: EC P-384 for nodes, Ed25519 for the director and TUF's roles.

A node has one key for sync and for Flower, whose SuperNodes take NIST curves only. Private keys lie on disk as
PKCS8 PEM, readable by their owner alone. What a signature means is the envelope's affair, not the key's.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from federation.errors import CapacityError, WireError
from federation.trust.durable import durable_write

NodeKey: TypeAlias = ec.EllipticCurvePrivateKey
DirectorKey: TypeAlias = ed25519.Ed25519PrivateKey
SigningKey: TypeAlias = NodeKey | DirectorKey
VerifyingKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class UnsuitableKey(WireError):
    """A public key that was sent is not PEM, or neither EC P-384 nor Ed25519."""

    code = "unsuitable_key"


class KeyUnreadable(CapacityError):
    """The private key at `path` is missing, damaged or of another kind."""

    code = "key_unreadable"


class KeyExists(CapacityError):
    """A key is already at `path`; a second one would orphan what the first has signed."""

    code = "key_exists"


def node_key_create(path: Path) -> NodeKey:
    """Leave a new EC P-384 key at `path`, mode 0600, and return it.

    Raises:
        KeyExists: a file is already there.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    _private_key_write(key, path)
    return key


def node_key_load(path: Path) -> NodeKey:
    """Return the node's key at `path`.

    Raises:
        KeyUnreadable: there is no usable EC P-384 key.
    """
    key = _private_key_read(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyUnreadable(path=str(path), problem="not an EC P-384 key")
    return key


def director_key_create(path: Path) -> DirectorKey:
    """Leave a new Ed25519 key at `path`, mode 0600, and return it; TUF's roles use the same kind.

    Raises:
        KeyExists: a file is already there.
    """
    key = ed25519.Ed25519PrivateKey.generate()
    _private_key_write(key, path)
    return key


def director_key_load(path: Path) -> DirectorKey:
    """Return the Ed25519 key at `path`.

    Raises:
        KeyUnreadable: there is no usable Ed25519 key.
    """
    key = _private_key_read(path)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise KeyUnreadable(path=str(path), problem="not an Ed25519 key")
    return key


def public_pem(key: SigningKey | VerifyingKey) -> str:
    """Return the public half of `key` as PEM SubjectPublicKeyInfo."""
    return (
        public_half(key)
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def public_key_load(pem: str) -> VerifyingKey:
    """Return the public key that `pem` spells.

    Raises:
        UnsuitableKey: not PEM, or neither EC P-384 nor Ed25519.
    """
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnsuitableKey(problem="not a PEM public key") from error
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1):
        return key
    raise UnsuitableKey(problem="neither EC P-384 nor Ed25519")


def public_half(key: SigningKey | VerifyingKey) -> VerifyingKey:
    """Return the key that verifies what `key` signs; a public key is its own."""
    if isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        return key.public_key()
    return key


def key_id(key: SigningKey | VerifyingKey) -> str:
    """Return the SHA-256 of the DER SubjectPublicKeyInfo in hexadecimal, the same for both halves."""
    der = public_half(key).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _private_key_write(key: SigningKey, path: Path) -> None:
    if path.exists():
        raise KeyExists(path=str(path))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    durable_write(path, pem, mode=0o600)


def _private_key_read(path: Path) -> object:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnreadable(path=str(path), problem=str(error)) from error
    if isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(key.curve, ec.SECP384R1):
        raise KeyUnreadable(path=str(path), problem="not an EC P-384 key")
    return key

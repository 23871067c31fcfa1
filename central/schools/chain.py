"""The hash chain of the audit: what is hashed, and how one link stands on the one before. Pure.

A link's hash covers the number of the link, the hash of the link before, and every field of the audit row, as canonical
JSON under a name of its own. Whoever changes, removes, adds between or reorders rows that are linked changes the hash
of every link from there on, and so the head that was exported before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from federation.wire.canonical import canonical_bytes

DOMAIN = b"soro-audit-link-1\n"
GENESIS = "0" * 64
"""Stands for the link before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedChange:
    """One row of the audit as it is hashed; `event` is its number, `at` is aware."""

    event: int
    actor: str
    entity: str
    old: str
    new: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    number: int
    previous: str
    change: AuditedChange


def link_hash(*, number: int, previous: str, change: AuditedChange) -> str:
    """Return the hash of the link `number` that stands on `previous`, in hexadecimal.

    Source: NIST FIPS 180-4 (SHA-256); the chain is Haber and Stornetta 1991, section 5.1.
    """
    document = canonical_bytes(_Link(number=number, previous=previous, change=change))
    return hashlib.sha256(DOMAIN + document).hexdigest()

"""What lies on an installation stick beside a courier's: the list of its files, and a first release (protocol §8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallerManifest:
    """All that an installation stick holds and installs; signed by the director."""

    version: str
    """Of the program: the name of the folder that it is installed in."""
    school: str
    address: str
    """Of the centre, without a path."""
    root_sha256: str
    """Of the TUF root that the PC starts from."""
    authority_sha256: str
    """Of the PEM certificates that vouch for the centre's web server; empty: the system's own authorities."""
    pythons: tuple[str, ...]
    """The versions of Python, such as `3.11`, that the wheels on the stick are for."""
    needs_bytes: int
    """Room on the PC's disk, with what a school's data needs to begin with."""
    learning: tuple[str, ...]
    """Those of them for which it brings what learning takes as well; none on a lean stick."""
    learning_bytes: int
    """Room on the PC's disk that this takes besides."""
    learning_memory_bytes: int
    """What a PC must have to learn on the stick's release."""
    made_at: datetime
    code_expires_at: datetime
    files: Mapping[str, str]
    """SHA-256 of every file by its path on the stick, with slashes; but for the manifest and the claim code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRelease:
    """What a PC may run before the centre has assigned it anything; signed by the director."""

    release: str
    """Digest of a base release."""
    variant: str
    """Empty where the release has one form."""
    written_at: datetime

"""What the ministry printed for this school, kept in `claim.json` for as long as the PC waits for its enrolment.

It waits for a link, for the courier's next stick, or for both. The first of them enrols; then the claim is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from federation.trust.durable import durable_write
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.sheet import Sheet
from node.sync.errors import NotEnrolled


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim code, and by what the centre is known."""

    code: str
    root_sha256: str
    central_url: str = ""
    """Where a link finds the centre; empty: only sticks lead there."""
    authority_sha256: str = ""
    """As in a sheet."""


class Awaited(StrEnum):
    """By which way a PC may yet be enrolled without a person's doing anything here."""

    NOTHING = "nothing"
    STICK = "stick"
    LINK_OR_STICK = "link_or_stick"


def claim_write(root: Path, claim: Claim) -> None:
    """Remember the claim until it is answered; it holds a code that is as good as a key."""
    durable_write(_path(root), canonical_bytes(claim), mode=0o600)


def claim_read(root: Path) -> Claim:
    """Return the claim that awaits its answer.

    Raises:
        NotEnrolled: there is none.
        MalformedDocument: the file was damaged.
    """
    try:
        return parse(Claim, _path(root).read_bytes())
    except FileNotFoundError as error:
        raise NotEnrolled(root=str(root)) from error


def claim_forget(root: Path) -> None:
    """Keep no claim any more: it was answered."""
    _path(root).unlink(missing_ok=True)


def is_claim_kept(root: Path) -> bool:
    """Tell whether this PC has asked to enrol and waits for the answer."""
    return _path(root).exists()


def awaited(root: Path) -> Awaited:
    """Return what this PC waits for with its claim."""
    if (root / "node.json").exists() or not is_claim_kept(root):
        return Awaited.NOTHING
    return Awaited.LINK_OR_STICK if claim_read(root).central_url else Awaited.STICK


def claim_of(sheet: Sheet) -> Claim:
    """Return what of a sheet is kept while it waits."""
    return Claim(
        code=sheet.code,
        root_sha256=sheet.root_sha256,
        central_url=sheet.address,
        authority_sha256=sheet.authority_sha256,
    )


def sheet_of(claim: Claim) -> Sheet:
    """Return the sheet that was kept; only for a claim that names an address."""
    return Sheet(
        code=claim.code,
        root_sha256=claim.root_sha256,
        authority_sha256=claim.authority_sha256,
        address=claim.central_url,
    )


def _path(root: Path) -> Path:
    return root / "claim.json"

"""Keeps a play on the disk between two runs of the ServerApp, so that one that is cut goes on from there.

Between runs nothing is under way at the SuperLink, so the play's objects and the centre's root say all. Updates lie
under their digests and are copied once; what came after the play was kept is harmless, for no row names it.
"""

from __future__ import annotations

import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from tests.simulated_grid import identity_take

if TYPE_CHECKING:
    from tests.country.play import Play

_UPDATES = Path("training/updates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a play has taken so far, in all the processes that played it."""

    enrol_seconds: float = 0.0
    seconds: float = 0.0
    busy_seconds: float = 0.0
    peak_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A play as it was between two of its runs."""

    play: Play
    spent: Spent


class KeptPlay:
    """The newest state of one play in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._newest, self._fresh, self._updates = folder / "newest", folder / "fresh", folder / "updates"

    def keep(self, kept: Kept, *, root: Path) -> None:
        """Leave the state here; a cut leaves the one before. No database connection may be open."""
        _copy_missing(root / _UPDATES, self._updates)
        shutil.rmtree(self._fresh, ignore_errors=True)
        shutil.copytree(root, self._fresh / "root", ignore=shutil.ignore_patterns(_UPDATES.name))
        with (self._fresh / "play.pickle").open("wb") as file:
            _Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(kept)
        # Written last: with it the state is whole.
        (self._fresh / "root.txt").write_text(str(root))
        self._renew()

    def root_restore(self) -> Path | None:
        """Return where the play's root is again, as it was; None where nothing is kept. What came after goes."""
        self._renew()
        if not self._newest.exists():
            return None
        root = Path((self._newest / "root.txt").read_text())
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self._newest / "root", root)
        _copy_missing(self._updates, root / _UPDATES)
        return root

    def play_restore(self) -> Kept | None:
        """Return the play, if one is kept; Django must stand on its root by now."""
        if not self._newest.exists():
            return None
        with (self._newest / "play.pickle").open("rb") as file:
            kept: Kept = pickle.load(file)  # noqa: S301 - this program wrote it
        # The process plays the ServerApp from now on.
        identity_take()
        return kept

    def forget(self) -> None:
        """Leave nothing here."""
        shutil.rmtree(self._newest.parent, ignore_errors=True)

    def _renew(self) -> None:
        if (self._fresh / "root.txt").exists():
            shutil.rmtree(self._newest, ignore_errors=True)
            self._fresh.rename(self._newest)


class _Pickler(pickle.Pickler):
    def reducer_override(self, each: object) -> Any:
        if isinstance(each, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            return _key_read, (each.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),)
        return NotImplemented


def _key_read(der: bytes) -> PrivateKeyTypes:
    # Pickle finds no name for the function of the library itself.
    return load_der_private_key(der, password=None)


def _copy_missing(source: Path, into: Path) -> None:
    """Copy the files of `source`'s folders that `into` lacks."""
    for folder in source.iterdir() if source.is_dir() else ():
        target = into / folder.name
        target.mkdir(parents=True, exist_ok=True)
        present = {path.name for path in target.iterdir()}
        for path in folder.iterdir():
            if path.name not in present:
                _copy_whole(path, target / path.name)


def _copy_whole(path: Path, into: Path) -> None:
    # A cut amid a copy must not leave half a file under a name that counts as copied.
    shutil.copyfile(path, half := into.with_name("half"))
    half.rename(into)

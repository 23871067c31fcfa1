"""Where the centre keeps things on disk, all under one root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings


@dataclass(frozen=True, slots=True)
class CentreDisk:
    """Names of the folders and files under the centre's `root`; makes none of them."""

    root: Path

    @property
    def database(self) -> Path:
        """The database of an embedded centre."""
        return self.root / "central.sqlite3"

    @property
    def keys(self) -> Path:
        """Private keys, mode 0700."""
        return self.root / "keys"

    @property
    def director_key(self) -> Path:
        """The Ed25519 key that signs assignments and round plans."""
        return self.keys / "director.pem"

    @property
    def tuf(self) -> Path:
        """The TUF repository: `metadata/` and `targets/`."""
        return self.root / "tuf"

    @property
    def blobs(self) -> Path:
        """Release files by digest."""
        return self.root / "blobs"

    @property
    def builds(self) -> Path:
        """Scratch of release builds; each may be deleted once its release is judged."""
        return self.root / "builds"

    @property
    def training(self) -> Path:
        """Kept updates, and the SuperLink's state."""
        return self.root / "training"

    @property
    def updates(self) -> Path:
        """Updates as they were received, one folder a plan."""
        return self.training / "updates"

    @property
    def superlink(self) -> Path:
        """The SuperLink's state, TLS files and Flower home."""
        return self.training / "superlink"

    @property
    def superlinks(self) -> Path:
        """The same of each of several SuperLinks, one folder a name."""
        return self.training / "superlinks"

    @property
    def uploads(self) -> Path:
        """Updates that arrive piece by piece, one folder a node."""
        return self.training / "uploads"

    @property
    def velocities(self) -> Path:
        """The last step of each round of a season with momentum."""
        return self.training / "velocities"

    @property
    def claims(self) -> Path:
        """One lock a round, held by the process that combines it."""
        return self.training / "claims"

    @property
    def inbox(self) -> Path:
        """Where Flower runs drop updates, one folder a round."""
        return self.training / "inbox"

    @property
    def installers(self) -> Path:
        """Packages for installation sticks, fetched once, one folder a version of Python."""
        return self.root / "installers"

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.root / "logs"

    @property
    def metrics(self) -> Path:
        """What processes count for Prometheus, one folder a part."""
        return self.root / "metrics"

    @property
    def run_state(self) -> Path:
        """What the running supervisor has started: addresses and process ids."""
        return self.root / "run.json"


def centre_disk() -> CentreDisk:
    """Return the disk of the settings in force."""
    return CentreDisk(settings.CENTRAL_ROOT)

"""Why a backup is not made."""

from __future__ import annotations

from federation.errors import CapacityError


class BackupPlaceTaken(CapacityError):
    """The folder `place` holds something else than an earlier backup of the same kind; nothing is changed."""

    code = "backup_place_taken"

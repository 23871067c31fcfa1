"""What is to be done once after a restore, and what only people can mend."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from central.disk import CentreDisk
from central.releases.blob_store import blob_store
from central.releases.models import Release
from central.retention.cutoff import kept_since
from central.training.after_restore import UpdatesReconciled, updates_reconcile
from federation.trust.tuf_publisher import online_renew


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """A centre whose disk and tables know of each other again."""

    updates: UpdatesReconciled
    releases_without_files: tuple[str, ...]
    """Digests of those in force that schools can fetch only in part, if at all."""


def restore_reconcile(*, disk: CentreDisk, now: datetime) -> Reconciled:
    """Sign the release list anew, above all that schools have seen, and bring updates together; harmless to repeat.

    Raises:
        RepositoryMissing: there is no release list.
        KeyUnreadable: an online key is not on this machine.
        StorageAway: the bucket does not answer.
    """
    online_renew(root=disk.tuf, keys=disk.keys, now=now)
    since = kept_since(now, months=settings.UPDATE_MONTHS)
    return Reconciled(
        updates=updates_reconcile(disk=disk, kept_since=since, now=now),
        releases_without_files=tuple(_releases_without_files(disk)),
    )


def _releases_without_files(disk: CentreDisk) -> list[str]:
    store = blob_store(disk)
    found = Release.objects.in_force().prefetch_related("files").only("digest")
    return [
        release.digest
        for release in found
        if any(store.size_bytes(entry.sha256) != entry.size_bytes for entry in release.files.all())
    ]

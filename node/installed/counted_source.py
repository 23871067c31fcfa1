"""Count the bytes of a release that cross the school's link, so that the centre hears of them."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import F

from federation.trust.blob_sources import BlobSource
from node.installed.models import InstallRecord


class CountedSource:
    """A blob source that counts what crosses the link for one record."""

    def __init__(self, source: BlobSource, record: InstallRecord) -> None:
        """Count for `record` what `source` gives."""
        self._source = source
        self._record = record
        self._bytes = 0

    def read_range(self, sha256: str, start: int, length: int) -> Iterator[bytes]:
        """Yield the range as the source does."""
        for piece in self._source.read_range(sha256, start, length):
            self._bytes += len(piece)
            yield piece
        self.write_down()

    def write_down(self) -> None:
        """Add what was counted to the record."""
        InstallRecord.objects.filter(pk=self._record.pk).update(bytes_fetched=F("bytes_fetched") + self._bytes)
        self._bytes = 0

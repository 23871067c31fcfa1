"""A stick and a link serve one fetch, and a stick that is really small is really refused."""

import os
import subprocess
from pathlib import Path

import httpx
import pytest

from federation.trust.blob_sources import HttpBlobSource
from federation.trust.errors import LinkLost
from federation.trust.fetch import release_fetch
from federation.trust.release_bytes import index_parse
from federation.trust.stick_blobs import StickBlobSource
from federation.trust.stick_disk import StickDisk
from federation.trust.stick_errors import StickFull
from federation.wire.releases import CHUNK_BYTES
from node.installed.disk import download_path
from node.installed.models import InstallRecord
from node.installed.state import slots_read


class WeakLink(httpx.BaseTransport):
    """The centre's blobs by HTTP, over a link that ends after `bytes_left`."""

    def __init__(self, centre, bytes_left):
        self.centre, self.bytes_left = centre, bytes_left

    def handle_request(self, request):
        first, last = (int(word) for word in request.headers["Range"].removeprefix("bytes=").split("-"))
        content = self.centre.blob(request.url.path.rpartition("/")[2]).read_bytes()
        headers = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        return httpx.Response(206, headers=headers, stream=_Ending(content[first : last + 1], self))


class _Ending(httpx.SyncByteStream):
    def __init__(self, content, link):
        self.content, self.link = content, link

    def __iter__(self):
        for at in range(0, len(self.content), 10_000):
            self.link.bytes_left -= 10_000
            if self.link.bytes_left < 0:
                raise httpx.ReadError("the link ended")
            yield self.content[at : at + 10_000]


def test_a_fetch_that_a_link_began_is_finished_by_a_stick(centre, enrolled, stick, package):
    release = centre.publish(package)
    centre.roll_out(release)
    index = index_parse(bytes(release.index_bytes))
    client = httpx.Client(transport=WeakLink(centre, bytes_left=2 * CHUNK_BYTES + 50_000))
    with pytest.raises(LinkLost):
        release_fetch(
            index=index,
            source=HttpBlobSource(client=client, base_url="http://centre"),
            into=enrolled.root / "releases" / release.digest,
            partial=download_path(enrolled.root, release.digest),
        )
    centre.export(stick)

    assert enrolled.bring_in(stick).release_state == "trial"

    total = sum(entry.size_bytes for entry in index.files)
    # Two whole chunks had come by the link; the card is read once more, by the look before the fetch.
    assert InstallRecord.objects.get().bytes_fetched <= total - 2 * CHUNK_BYTES + 100
    assert slots_read(enrolled.root).current == release.digest


def test_a_fetch_that_a_stick_began_is_finished_by_a_link(centre, enrolled, stick, package):
    release = centre.publish(package)
    centre.roll_out(release)
    index = index_parse(bytes(release.index_bytes))
    centre.export(stick)
    part = max((stick.place / "soro" / "blobs").rglob("*.0000"), key=lambda path: path.stat().st_size)
    part.write_bytes(part.read_bytes()[: 2 * CHUNK_BYTES + 5])
    assert [failure.code for failure in enrolled.bring_in(stick).failures] == ["blob_unavailable"]
    link = WeakLink(centre, bytes_left=10**9)

    into = release_fetch(
        index=index,
        source=HttpBlobSource(client=httpx.Client(transport=link), base_url="http://centre"),
        into=enrolled.root / "releases" / release.digest,
        partial=download_path(enrolled.root, release.digest),
    )

    assert (into / "model.bin").read_bytes() == (package / "model.bin").read_bytes()
    assert 10**9 - link.bytes_left < 2 * CHUNK_BYTES


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_stick_that_is_really_too_small_is_refused_and_one_that_is_nearly_full_is_not(
    centre, enrolled, package, tmp_path
):
    centre.roll_out(centre.publish(package))
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "small", str(place)], check=True)
    try:
        filler = place / "film.mp4"
        filler.write_bytes(b"f" * 1_500_000)
        with pytest.raises(StickFull) as refused:
            centre.export(StickDisk(place))
        assert refused.value.fields["free_bytes"] < refused.value.fields["needed_bytes"]
        assert list(place.iterdir()) == [filler]
        filler.write_bytes(b"f" * 600_000)
        assert centre.export(StickDisk(place)).bytes_written > 3 * CHUNK_BYTES
        assert enrolled.bring_in(StickDisk(place)).release_state == "trial"
        assert enrolled.write_out(StickDisk(place)).bytes_written > 0
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_release_reads_from_a_stick_as_from_any_other_source(centre, enrolled, stick, package, tmp_path):
    release = centre.publish(package)
    centre.roll_out(release)
    centre.export(stick)
    index = index_parse(bytes(release.index_bytes))
    into = release_fetch(
        index=index, source=StickBlobSource(stick), into=tmp_path / "into", partial=tmp_path / "partial"
    )
    for path in package.iterdir():
        assert Path(into / path.name).read_bytes() == path.read_bytes()

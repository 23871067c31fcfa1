"""Bytes on their way to a school: any cut resumes, nothing false is kept, a full disk leaves nothing."""

import contextlib
import os
import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.trust.blob_sources import DirectoryBlobSource, HttpBlobSource
from federation.trust.errors import (
    BlobUnavailable,
    ChunkMismatch,
    DiskFull,
    FetchStopped,
    LinkLost,
    ReleaseDamaged,
    VariantUnknown,
)
from federation.trust.fetch import files_size_bytes, release_fetch
from federation.trust.release_bytes import (
    files_list,
    index_build,
    index_digest,
    index_files,
    index_parse,
    index_read,
    index_verify,
    variant_read,
)
from federation.wire.canonical import MalformedDocument, canonical_bytes
from federation.wire.releases import CHUNK_BYTES, ReleaseIndex, ReleaseKind, Variant


@pytest.fixture
def index(centre, package):
    return centre.release_publish(package)


@pytest.fixture
def source(centre, client):
    return HttpBlobSource(client=client, base_url=centre.url)


@pytest.fixture
def places(tmp_path):
    return {"into": tmp_path / "node" / "releases" / "d", "partial": tmp_path / "node" / "downloads" / "d"}


def _same(one: Path, other: Path) -> bool:
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def _served_bytes(centre) -> int:
    spans = [asked.removeprefix("bytes=").split("-") for path, asked in centre.requests if path.startswith("/blobs/")]
    return sum(int(last) - int(first) + 1 for first, last in spans)


def test_a_release_arrives_whole_in_few_requests_and_leaves_no_leftovers(centre, index, package, source, places):
    heard = []
    directory = release_fetch(index=index, source=source, **places, progress=lambda *two: heard.append(two))
    assert _same(package, directory)
    assert index_read(directory) == index
    assert not places["partial"].exists()
    total = sum(entry.size_bytes for entry in index.files)
    assert heard[0] == (0, total)
    assert heard[-1] == (total, total)
    assert len([path for path, _ in centre.requests if path.startswith("/blobs/")]) == 2
    requests = len(centre.requests)
    release_fetch(index=index, source=source, **places)
    assert len(centre.requests) == requests


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 10 * CHUNK_BYTES), min_size=1, max_size=4))
def test_a_link_cut_after_any_byte_costs_at_most_the_chunks_it_cut(centre, index, package, source, places, cuts):
    shutil.rmtree(places["into"], ignore_errors=True)
    centre.requests.clear()
    centre.cut_after_bytes[:] = list(cuts)
    for _ in range(len(cuts) + 1):
        try:
            release_fetch(index=index, source=source, **places)
            break
        except LinkLost:
            assert not places["into"].exists()
    assert _same(package, places["into"])
    centre.cut_after_bytes.clear()


def test_what_was_verified_before_a_cut_is_not_asked_for_again(centre, index, source, places):
    centre.cut_after_bytes[:] = [5 * CHUNK_BYTES + 1, 0]
    with pytest.raises(LinkLost):
        release_fetch(index=index, source=source, **places)
    assert not places["into"].exists()
    centre.requests.clear()
    release_fetch(index=index, source=source, **places)
    assert _served_bytes(centre) == sum(entry.size_bytes for entry in index.files) - 5 * CHUNK_BYTES - 1


def test_a_link_that_never_carries_a_whole_chunk_brings_a_release_in_the_end(centre, index, package, source, places):
    tries = 0
    while not places["into"].exists():
        # A few thousand bytes a contact, each by a process of its own: what came must be on the disk.
        centre.cut_after_bytes[:] = [CHUNK_BYTES // 3]
        with contextlib.suppress(LinkLost):
            release_fetch(index=index, source=source, **places)
        tries += 1
        assert tries < 100
    assert _same(package, places["into"])


def test_a_link_that_drops_within_every_chunk_still_brings_the_release_and_sends_little_twice(
    centre, index, package, source, places
):
    centre.cut_after_bytes[:] = [100_000] * 100
    sent = _Sent(source)
    release_fetch(index=index, source=sent, **places)
    assert _same(package, places["into"])
    total = sum(entry.size_bytes for entry in index.files)
    assert total <= sent.bytes <= 1.02 * total
    centre.cut_after_bytes.clear()


def test_what_came_before_a_cut_is_not_believed_when_the_rest_has_come(centre, index, package, source, places):
    centre.cut_after_bytes[:] = [5 * CHUNK_BYTES + 1000, 0]
    with pytest.raises(LinkLost):
        release_fetch(index=index, source=source, **places)
    begun = places["partial"] / "begun"
    content = bytearray(begun.read_bytes())
    content[-1] ^= 1
    begun.write_bytes(content)
    release_fetch(index=index, source=source, **places)
    assert _same(package, places["into"])


class _Sent:
    def __init__(self, source):
        self.source, self.bytes = source, 0

    def read_range(self, sha256, start, length):
        for piece in self.source.read_range(sha256, start, length):
            self.bytes += len(piece)
            yield piece


def test_a_journal_line_that_a_power_cut_has_halved_or_zeroed_is_not_believed(index, package, source, places, centre):
    centre.cut_after_bytes[:] = [5 * CHUNK_BYTES, 0]
    with pytest.raises(LinkLost):
        release_fetch(index=index, source=source, **places)
    with (places["partial"] / "journal").open("ab") as stream:
        stream.write(b"\0\0\0\n0 7")
    release_fetch(index=index, source=source, **places)
    assert _same(package, places["into"])


def test_bytes_that_the_disk_lost_behind_the_journal_are_found_and_fetched_again(
    centre, index, package, source, places
):
    centre.cut_after_bytes[:] = [5 * CHUNK_BYTES, 0]
    with pytest.raises(LinkLost):
        release_fetch(index=index, source=source, **places)
    with (places["partial"] / "files" / "model.bin").open("r+b") as stream:
        stream.write(bytes(1000))
    release_fetch(index=index, source=source, **places)
    assert _same(package, places["into"])


def test_a_tampered_byte_is_refused_by_the_chunk_and_nothing_is_installed(centre, index, source, places):
    model = next(entry for entry in index.files if entry.path == "model.bin")
    blob = centre.root / "blobs" / model.sha256[:2] / model.sha256
    content = bytearray(blob.read_bytes())
    content[3 * CHUNK_BYTES + 5] ^= 1
    blob.write_bytes(content)
    with pytest.raises(ChunkMismatch) as refusal:
        release_fetch(index=index, source=source, **places)
    assert refusal.value.fields == {"release": index_digest(index), "path": "model.bin", "chunk": 3}
    assert not places["into"].exists()
    asked = [asked for _, asked in centre.requests if asked]
    assert asked.count(f"bytes={3 * CHUNK_BYTES}-{4 * CHUNK_BYTES - 1}") == 1


def test_a_blob_that_the_centre_lacks_or_holds_too_short_is_a_reason_to_try_later(centre, index, source, places):
    model = next(entry for entry in index.files if entry.path == "model.bin")
    (centre.root / "blobs" / model.sha256[:2] / model.sha256).unlink()
    with pytest.raises(BlobUnavailable) as refusal:
        release_fetch(index=index, source=source, **places)
    assert refusal.value.fields["status"] == 404
    assert not places["into"].exists()


def test_a_caller_can_stop_and_go_on_later(index, package, source, places):
    with pytest.raises(FetchStopped):
        release_fetch(index=index, source=source, **places, should_stop=lambda: True)
    assert not places["into"].exists()
    assert _same(package, release_fetch(index=index, source=source, **places))


def test_a_release_for_which_there_is_no_room_is_not_begun(centre, index, source, places, tmp_path):
    centre.requests.clear()
    needed = sum(entry.size_bytes for entry in index.files) + 1000
    with pytest.raises(DiskFull) as refusal:
        release_fetch(index=index, source=source, **places, reserve_bytes=1000, disk_free=lambda _path: needed - 1)
    assert refusal.value.fields == {"needed_bytes": needed, "free_bytes": needed - 1}
    assert centre.requests == []
    assert not (tmp_path / "node").exists()


def test_a_disk_that_others_fill_during_the_download_is_not_filled_to_the_end(index, source, places):
    free = iter([10**9, 10**9, 0])
    with pytest.raises(DiskFull):
        release_fetch(index=index, source=source, **places, disk_free=lambda _path: next(free))
    assert not places["into"].exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_really_full_disk_leaves_no_download_and_no_release(index, source, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("this machine allows no mounts")
    try:
        with pytest.raises(DiskFull):
            release_fetch(
                index=index,
                source=source,
                into=disk / "releases" / "d",
                partial=disk / "downloads" / "d",
                disk_free=lambda _path: 10**12,
            )
        assert [path for path in disk.rglob("*") if path.is_file()] == []
        with pytest.raises(DiskFull):
            release_fetch(index=index, source=source, into=disk / "releases" / "d", partial=disk / "downloads" / "d")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_file_that_another_release_holds_is_not_fetched_again(centre, index, source, places, package, tmp_path):
    first = release_fetch(index=index, source=source, **places)
    (package / "card.json").write_text("{}")
    second_index = centre.release_publish(package, version=2)
    centre.requests.clear()
    second = release_fetch(
        index=second_index, source=source, into=tmp_path / "node/releases/e", partial=tmp_path / "p", reuse=[first]
    )
    assert _served_bytes(centre) == 2
    index_verify(second, second_index)


def test_a_damaged_file_of_another_release_is_fetched_and_not_taken_over(
    centre, index, source, places, package, tmp_path
):
    first = release_fetch(index=index, source=source, **places)
    with (first / "model.bin").open("r+b") as stream:
        stream.write(bytes(1000))
    (package / "card.json").write_text("{}")
    second_index = centre.release_publish(package, version=2)
    second = release_fetch(
        index=second_index, source=source, into=tmp_path / "node/releases/e", partial=tmp_path / "p", reuse=[first]
    )
    index_verify(second, second_index)
    with pytest.raises(ReleaseDamaged):
        index_verify(first, index)


def test_a_directory_serves_the_same_bytes_as_the_centre(centre, index, package, places):
    release_fetch(index=index, source=DirectoryBlobSource(centre.root / "blobs"), **places)
    assert _same(package, places["into"])
    with pytest.raises(BlobUnavailable):
        list(DirectoryBlobSource(centre.root / "none").read_range("0" * 64, 0, 1))


def test_a_fetch_that_began_over_a_link_is_finished_from_a_stick_with_what_is_missing(
    centre, index, package, source, places
):
    centre.cut_after_bytes[:] = [5 * CHUNK_BYTES + 1000, 0]
    with pytest.raises(LinkLost):
        release_fetch(index=index, source=source, **places)
    centre.requests.clear()
    stick = _Sent(DirectoryBlobSource(centre.root / "blobs"))
    release_fetch(index=index, source=stick, **places)
    assert _same(package, places["into"])
    assert centre.requests == []
    assert stick.bytes == sum(entry.size_bytes for entry in index.files) - 5 * CHUNK_BYTES - 1000


def test_the_same_files_always_give_the_same_digest_and_every_chunk_is_covered(package):
    made = [
        index_build(package=package, kind=ReleaseKind.BASE, version=1, title="t", base=None, contributions=())
        for _ in range(2)
    ]
    assert index_digest(made[0]) == index_digest(made[1])
    assert [entry.path for entry in made[0].files] == ["model.bin", "one.bin", "sub/empty.txt"]
    assert [len(entry.chunks) for entry in made[0].files] == [10, 1, 0]
    assert index_parse(canonical_bytes(made[0])) == made[0]


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a/../../x", "a//b", "./a", "", ".", "a\\b", "a\0b", "index.json", "model.bin", "one.bin/x"]
)
def test_an_index_whose_paths_leave_the_directory_or_clash_is_refused(index, path):
    changed = canonical_bytes(index).replace(b'"sub/empty.txt"', canonical_bytes(path))
    with pytest.raises(MalformedDocument):
        index_parse(changed)


def test_an_index_whose_chunks_do_not_cover_the_size_is_refused(index):
    size = next(entry.size_bytes for entry in index.files if entry.path == "model.bin")
    for wrong in (size + CHUNK_BYTES, size - CHUNK_BYTES, -1):
        with pytest.raises(MalformedDocument):
            index_parse(canonical_bytes(index).replace(b'"size_bytes":%d' % size, b'"size_bytes":%d' % wrong))
    with pytest.raises(MalformedDocument):
        index_parse(canonical_bytes(index).replace(index.files[0].chunks[0].encode(), b"x" * 64))


def test_any_file_whose_bytes_are_changed_anywhere_fails_verification(index, package):
    rng = random.Random(3)
    content = (package / "model.bin").read_bytes()
    for _ in range(10):
        changed = bytearray(content)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        (package / "model.bin").write_bytes(changed)
        with pytest.raises(ReleaseDamaged):
            index_verify(package, index)
    (package / "model.bin").write_bytes(content)
    index_verify(package, index)


def _two_variants(centre, tmp_path):
    """A release of two forms that share one file; the first has one chunk and a half of its own, the other five."""
    shared = b"words" * 100_000
    variants = []
    for name, size_bytes in (("int8", CHUNK_BYTES * 3 // 2), ("fp16", CHUNK_BYTES * 5)):
        folder = tmp_path / "made" / name
        folder.mkdir(parents=True)
        (folder / "model.bin").write_bytes(random.Random(name).randbytes(size_bytes))
        (folder / "words.bin").write_bytes(shared)
        for path in folder.iterdir():
            centre.blob_put(path.read_bytes())
        needs = {"memory_bytes": 0, "gpu_memory_bytes": 7 if name == "fp16" else 0}
        variants.append(Variant(name=name, files=files_list(folder), **needs))
    index = ReleaseIndex(
        kind=ReleaseKind.BASE,
        version=1,
        title="t",
        base=None,
        files=(),
        contributions=(),
        variants=tuple(variants),
    )
    return index_parse(canonical_bytes(index))


def test_only_the_bytes_of_one_variant_come_and_the_directory_says_which(centre, source, places, tmp_path):
    index = _two_variants(centre, tmp_path)
    told = []
    into = release_fetch(
        index=index, variant="int8", source=source, **places, progress=lambda *figures: told.append(figures)
    )
    size_bytes = files_size_bytes(index_files(index, "int8"))
    assert _served_bytes(centre) == size_bytes
    assert told[-1] == (size_bytes, size_bytes)
    assert sorted(path.name for path in into.iterdir()) == ["index.json", "model.bin", "variant", "words.bin"]
    assert variant_read(into) == "int8"
    index_verify(into, index)
    assert release_fetch(index=index, variant="int8", source=source, **places) == into
    assert _served_bytes(centre) == size_bytes


def test_what_one_variant_has_in_common_with_another_on_this_disk_does_not_come_again(centre, source, places, tmp_path):
    index = _two_variants(centre, tmp_path)
    first = release_fetch(index=index, variant="int8", source=source, **places)
    before = _served_bytes(centre)
    elsewhere = {"into": tmp_path / "node" / "releases" / "e", "partial": tmp_path / "node" / "downloads" / "e"}
    release_fetch(index=index, variant="fp16", source=source, **elsewhere, reuse=[first])
    assert _served_bytes(centre) - before == CHUNK_BYTES * 5


@pytest.mark.parametrize("variant", ["", "fp8"])
def test_a_variant_that_the_release_does_not_have_is_refused_and_nothing_is_asked_for(
    centre, source, places, tmp_path, variant
):
    index = _two_variants(centre, tmp_path)
    with pytest.raises(VariantUnknown):
        release_fetch(index=index, variant=variant, source=source, **places)
    assert centre.requests == []
    assert not places["into"].exists()
    assert not places["partial"].exists()


def test_a_release_of_one_form_has_no_variants(index, source, places):
    with pytest.raises(VariantUnknown):
        release_fetch(index=index, variant="int8", source=source, **places)
    assert not places["into"].exists()


@pytest.mark.parametrize("content", [None, b"fp8", b"fp16", b"\xff"])
def test_a_directory_that_does_not_say_which_variant_it_holds_is_damaged(centre, source, places, tmp_path, content):
    index = _two_variants(centre, tmp_path)
    into = release_fetch(index=index, variant="int8", source=source, **places)
    marker = into / "variant"
    marker.unlink() if content is None else marker.write_bytes(content)
    with pytest.raises(ReleaseDamaged):
        index_verify(into, index)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"kind": ReleaseKind.ADAPTER, "base": "b" * 64}, "only a base"),
        ({"files": "int8"}, "only a base"),
        ({"name": "../int8"}, "name not allowed"),
        ({"name": ""}, "name not allowed"),
        ({"name": "fp16"}, "name twice"),
        ({"memory_bytes": -1}, "needs not allowed"),
        ({"gpu_memory_bytes": 1}, "needs not allowed"),
    ],
)
def test_an_index_with_impossible_variants_is_refused(centre, tmp_path, changes, problem):
    index = _two_variants(centre, tmp_path)
    first, second = index.variants
    own = {name: value for name, value in changes.items() if name in ("name", "memory_bytes", "gpu_memory_bytes")}
    others = {name: value for name, value in changes.items() if name not in own}
    if "files" in others:
        others["files"] = first.files
    made = replace(index, variants=(replace(first, **own), second), **others)
    with pytest.raises(MalformedDocument, match=problem):
        index_parse(canonical_bytes(made))


@pytest.mark.parametrize("path", ["variant", "variant/x", "index.json/x"])
def test_a_file_may_not_have_the_name_of_what_the_node_writes_beside_it(centre, tmp_path, path):
    index = _two_variants(centre, tmp_path)
    first, second = index.variants
    entry = replace(first.files[0], path=path)
    made = replace(index, variants=(replace(first, files=(entry,)), second))
    with pytest.raises(MalformedDocument, match="path not allowed"):
        index_parse(canonical_bytes(made))

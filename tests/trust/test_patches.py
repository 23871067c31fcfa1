"""A chunk made out of an older release's: smaller on the way, the same at the end, and never believed."""

import lzma
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.trust.blob_sources import HttpBlobSource
from federation.trust.chunk_store import ChunkMap
from federation.trust.errors import LinkLost
from federation.trust.fetch import release_fetch
from federation.trust.patches import patch_apply, patch_make
from federation.trust.release_bytes import index_build, index_digest, index_parse, index_verify
from federation.trust.tuf_client import target_path
from federation.trust.tuf_publisher import target_publish
from federation.wire.canonical import MalformedDocument, canonical_bytes
from federation.wire.releases import CHUNK_BYTES, PatchSet, ReleaseKind
from tests.trust.conftest import NOW

CHUNKS = 6


@given(st.binary(max_size=300), st.randoms(use_true_random=False))
def test_a_patch_makes_the_new_bytes_out_of_the_old(old, rng):
    new = bytes(rng.randrange(256) if rng.random() < 0.1 else byte for byte in old)
    assert patch_apply(old, patch_make(old, new)) == new


@given(st.binary(max_size=400))
def test_what_is_no_patch_makes_nothing_or_no_more_than_a_chunk(noise):
    assert len(patch_apply(bytes(100), noise)) in (0, 100)


def test_a_small_patch_that_claims_gigabytes_makes_nothing():
    bomb = lzma.compress(
        bytes(50_000_000), format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": CHUNK_BYTES}]
    )
    assert len(bomb) < 20_000
    made = patch_apply(bytes(1000), bomb)
    assert len(made) <= 1000


@pytest.fixture
def weights():
    """An older and a newer file: half of the bytes moved by one."""
    old = np.random.default_rng(1).integers(0, 256, CHUNKS * CHUNK_BYTES, dtype=np.uint8)
    new = old + np.random.default_rng(2).integers(0, 2, old.size, dtype=np.uint8)
    return old.tobytes(), new.tobytes()


@pytest.fixture
def publish(centre, tmp_path):
    """Publish the newer release with `patches` to its chunks, as they lie in the blob."""

    def run(old, weights, patches, **changes):
        folder = tmp_path / "new"
        folder.mkdir()
        (folder / "model.onnx.data").write_bytes(weights)
        index = index_build(package=folder, kind=ReleaseKind.BASE, version=2, title="t", base=None, contributions=())
        centre.blob_put(weights)
        offer = PatchSet(
            base=index_digest(old),
            sha256=centre.blob_put(b"".join(patches)),
            chunks=tuple(range(len(patches))),
            of=tuple(range(len(patches))),
            sizes=tuple(len(patch) for patch in patches),
        )
        index = replace(index, patches=(replace(offer, **changes),))
        target_publish(
            **centre.repository, path=target_path(index_digest(index)), content=canonical_bytes(index), now=NOW
        )
        return index

    return run


@pytest.fixture
def school(centre, client, tmp_path, weights):
    """A school that has the older release; `fetch` fetches another."""
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "model.onnx.data").write_bytes(weights[0])
    old = centre.release_publish(folder)
    source = HttpBlobSource(client=client, base_url=centre.url)
    held = release_fetch(index=old, source=source, into=tmp_path / "n/r/1", partial=tmp_path / "n/d/1")
    centre.requests.clear()

    class School:
        index = old
        directory = held

        def fetch(self, index):
            return release_fetch(
                index=index, source=source, into=tmp_path / "n/r/2", partial=tmp_path / "n/d/2", reuse=[held]
            )

    return School()


def _cut(content):
    return [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)]


def _patches(weights):
    return [patch_make(old, new) for old, new in zip(*map(_cut, weights), strict=True)]


def _fetched(centre, sha256):
    spans = [asked.removeprefix("bytes=").split("-") for path, asked in centre.requests if sha256 in path]
    return sum(int(last) - int(first) + 1 for first, last in spans)


def test_a_school_that_has_the_older_release_fetches_patches_instead_of_chunks(centre, school, publish, weights):
    patches = _patches(weights)
    index = publish(school.index, weights[1], patches)
    index_verify(school.fetch(index), index)
    size = sum(len(patch) for patch in patches)
    assert _fetched(centre, index.patches[0].sha256) == size < 0.2 * len(weights[1])
    assert _fetched(centre, index.files[0].sha256) == 0
    # One request for the run: the patches of neighbours are neighbours.
    assert len(centre.requests) == 1


def test_a_wrong_patch_costs_its_own_bytes_and_the_chunk_is_fetched(centre, school, publish, weights):
    patches = _patches(weights)
    patches[2] = patch_make(bytes(CHUNK_BYTES), bytes(CHUNK_BYTES))
    patches[4] = b"no patch at all"
    index = publish(school.index, weights[1], patches)
    index_verify(school.fetch(index), index)
    assert _fetched(centre, index.files[0].sha256) == 2 * CHUNK_BYTES


def test_patches_that_are_nowhere_to_be_had_are_done_without(centre, school, publish, weights):
    index = publish(school.index, weights[1], _patches(weights), sha256="0" * 64)
    index_verify(school.fetch(index), index)
    assert _fetched(centre, index.files[0].sha256) == len(weights[1])
    assert len([path for path, _ in centre.requests if "0" * 64 in path]) == 1


def test_patches_of_a_release_that_is_not_here_are_not_asked_for(centre, school, publish, weights):
    index = publish(school.index, weights[1], _patches(weights), base="0" * 64)
    index_verify(school.fetch(index), index)
    assert _fetched(centre, index.patches[0].sha256) == 0


def test_an_older_release_that_the_disk_has_damaged_makes_no_wrong_chunk(centre, school, publish, weights):
    with (school.directory / "model.onnx.data").open("r+b") as stream:
        stream.seek(3 * CHUNK_BYTES)
        stream.write(random.Random(1).randbytes(1000))
    index = publish(school.index, weights[1], _patches(weights))
    index_verify(school.fetch(index), index)
    assert _fetched(centre, index.files[0].sha256) == CHUNK_BYTES


def test_a_cut_among_patches_goes_on_at_the_chunk_that_is_missing(centre, school, publish, weights):
    patches = _patches(weights)
    index = publish(school.index, weights[1], patches)
    centre.cut_after_bytes[:] = [len(patches[0]) + len(patches[1]) + 5, 0]
    with pytest.raises(LinkLost):
        school.fetch(index)
    centre.requests.clear()
    index_verify(school.fetch(index), index)
    assert _fetched(centre, index.patches[0].sha256) == sum(len(patch) for patch in patches[2:])


@pytest.mark.parametrize(
    "changes",
    [
        {"chunks": (1, 0)},
        {"chunks": (0, CHUNKS)},
        {"chunks": (-1, 0)},
        {"chunks": (0, 0)},
        {"of": (0,)},
        {"of": (0, -1)},
        {"sizes": (1, 0)},
        {"sizes": (1, CHUNK_BYTES + 1)},
        {"base": "x"},
        {"sha256": "../../etc/passwd"},
    ],
)
def test_an_index_whose_patches_are_not_in_order_is_refused(school, publish, weights, changes):
    offered = {"chunks": (0, 1), "of": (0, 1), "sizes": (1, 1)} | changes
    index = publish(school.index, weights[1], [], **offered)
    assert len(ChunkMap("", index.files).places) == CHUNKS
    with pytest.raises(MalformedDocument):
        index_parse(canonical_bytes(index))

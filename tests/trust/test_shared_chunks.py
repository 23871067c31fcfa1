"""What a new release shares with others on this disk: found wherever it lies there, verified, and never fetched."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.trust.blob_sources import HttpBlobSource
from federation.trust.errors import LinkLost
from federation.trust.fetch import release_fetch
from federation.trust.release_bytes import index_parse, index_read, index_verify
from federation.wire.canonical import MalformedDocument, canonical_bytes, sha256_hex
from federation.wire.contributions import LIST_NAME, Part, list_write, part_starts
from federation.wire.releases import CHUNK_BYTES, chunk_starts

PAGE = 4096


def _weights(folder, tensors):
    """Write tensors page by page as a package does, and return where they begin."""
    folder.mkdir(exist_ok=True)
    content, starts = bytearray(), []
    for tensor in tensors:
        content += bytes(-len(content) % PAGE)
        starts.append(len(content))
        content += tensor
    (folder / "model.onnx.data").write_bytes(content)
    return {"model.onnx.data": tuple(starts[1:])}


def _served_bytes(centre):
    spans = [asked.removeprefix("bytes=").split("-") for path, asked in centre.requests if path.startswith("/blobs/")]
    return sum(int(last) - int(first) + 1 for first, last in spans)


@pytest.fixture
def source(centre, client):
    return HttpBlobSource(client=client, base_url=centre.url)


@pytest.fixture
def tensors():
    rng = random.Random(5)
    return [rng.randbytes(size) for size in (300_000, 5000, 700_000, 2560, 1_000_000)]


def test_of_a_newer_base_only_changed_tensors_are_fetched_also_where_the_others_have_moved(
    centre, source, tensors, tmp_path
):
    old = centre.release_publish(tmp_path / "p", tensors=_weights(tmp_path / "p", tensors))
    first = release_fetch(index=old, source=source, into=tmp_path / "n/r/1", partial=tmp_path / "n/d/1")
    # The first tensor now has fewer bits: it is shorter, and everything behind it moves.
    tensors[0] = random.Random(6).randbytes(150_000)
    new = centre.release_publish(tmp_path / "p", version=2, tensors=_weights(tmp_path / "p", tensors))
    centre.requests.clear()
    second = release_fetch(index=new, source=source, into=tmp_path / "n/r/2", partial=tmp_path / "n/d/2", reuse=[first])
    index_verify(second, new)
    assert _served_bytes(centre) == 150_000 + -150_000 % PAGE


def test_of_the_list_of_a_newer_adapter_only_the_newest_part_is_fetched(centre, source, tmp_path):
    parts = [
        Part(version=version, updates=tuple(sha256_hex(f"{version}/{each}".encode()) for each in range(900)))
        for version in (2, 3, 4)
    ]
    folder, into = tmp_path / "p", tmp_path / "n/r"
    folder.mkdir()
    (folder / "adapter.bin").write_bytes(b"factors")
    fetched = []
    for count in (2, 3):
        (folder / LIST_NAME).write_bytes(list_write(parts[:count]))
        tensors = {LIST_NAME: part_starts((folder / LIST_NAME).read_bytes())}
        index = centre.release_publish(folder, version=count, tensors=tensors)
        centre.requests.clear()
        reuse = list(into.glob("*"))
        release_fetch(
            index=index, source=source, into=into / str(count), partial=tmp_path / f"n/d/{count}", reuse=reuse
        )
        fetched.append(_served_bytes(centre))
    # The header of a part has 8 bytes, and so has each update.
    assert fetched == [7 + 2 * (8 + 900 * 8), 8 + 900 * 8]
    assert (into / "3" / LIST_NAME).read_bytes() == list_write(parts)


def test_what_a_superseded_download_has_brought_is_taken_from_it(centre, source, tensors, tmp_path):
    old = centre.release_publish(tmp_path / "p", tensors=_weights(tmp_path / "p", tensors))
    centre.cut_after_bytes[:] = [1_200_000, 0]
    with pytest.raises(LinkLost):
        release_fetch(index=old, source=source, into=tmp_path / "n/r/1", partial=tmp_path / "n/d/1")
    came = 1_200_000 - 1_200_000 % CHUNK_BYTES
    tensors[4] = random.Random(6).randbytes(len(tensors[4]))
    new = centre.release_publish(tmp_path / "p", version=2, tensors=_weights(tmp_path / "p", tensors))
    centre.requests.clear()
    second = release_fetch(
        index=new, source=source, into=tmp_path / "n/r/2", partial=tmp_path / "n/d/2", reuse=[tmp_path / "n/d/1"]
    )
    index_verify(second, new)
    size = new.files[0].size_bytes
    # Of what came, only the last tensor's beginning is of no use now, and that had not come.
    assert size - came - CHUNK_BYTES <= _served_bytes(centre) <= size - came + 3 * CHUNK_BYTES


def test_a_chunk_that_another_release_has_lost_to_its_disk_is_fetched(centre, source, tensors, tmp_path):
    old = centre.release_publish(tmp_path / "p", tensors=_weights(tmp_path / "p", tensors))
    first = release_fetch(index=old, source=source, into=tmp_path / "n/r/1", partial=tmp_path / "n/d/1")
    with (first / "model.onnx.data").open("r+b") as stream:
        stream.seek(400_000)
        stream.write(bytes(100))
    tensors[0] = random.Random(6).randbytes(len(tensors[0]))
    new = centre.release_publish(tmp_path / "p", version=2, tensors=_weights(tmp_path / "p", tensors))
    second = release_fetch(index=new, source=source, into=tmp_path / "n/r/2", partial=tmp_path / "n/d/2", reuse=[first])
    index_verify(second, new)
    assert index_read(first) == old


@given(st.integers(0, 3 * CHUNK_BYTES), st.sets(st.integers(1, 3 * CHUNK_BYTES), max_size=5))
def test_chunks_cover_a_file_without_gaps_and_begin_at_each_tensor(size, starts):
    tensors = tuple(sorted(start for start in starts if start < size))
    begins = list(chunk_starts(size, tensors))
    edges = [*begins, size]
    assert all(0 < end - start <= CHUNK_BYTES for start, end in itertools.pairwise(edges))
    assert set(tensors) <= set(begins)
    assert (begins[:1] == [0]) is (size > 0)


@pytest.mark.parametrize("wrong", ["[0]", "[5000,5000]", "[9000,5000]", "[-5]", "[99999999]", '["5000"]'])
def test_an_index_whose_tensors_are_out_of_order_or_out_of_the_file_is_refused(centre, tmp_path, wrong):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "model.onnx.data").write_bytes(bytes(10_000))
    index = centre.release_publish(tmp_path / "p", tensors={"model.onnx.data": (5000,)})
    changed = canonical_bytes(index).replace(b"[5000]", wrong.encode())
    assert changed != canonical_bytes(index)
    with pytest.raises(MalformedDocument):
        index_parse(changed)

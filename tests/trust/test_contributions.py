"""The list of updates that an adapter brings: what is found in it, and that an index is named alike by old and new."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.trust.release_bytes import index_digest, index_parse
from federation.wire.canonical import MalformedDocument, canonical_bytes, sha256_hex
from federation.wire.contributions import Part, list_write, part_starts, versions_find
from federation.wire.releases import FileEntry, ReleaseIndex, ReleaseKind

digests = st.integers(0, 500).map(lambda number: sha256_hex(str(number).encode()))
parts_lists = st.lists(
    st.builds(lambda version, updates: Part(version=version, updates=tuple(updates)),
              st.integers(1, 2**32 - 1), st.lists(digests, max_size=20)),
    max_size=6,
)  # fmt: skip


@given(parts_lists, st.lists(digests, max_size=5))
def test_every_update_in_a_list_is_found_with_the_lowest_version_that_shipped_it_and_no_other_is(parts, others):
    expected: dict[str, int] = {}
    for part in parts:
        for update in part.updates:
            expected[update] = min(part.version, expected.get(update, part.version))
    assert versions_find(list_write(parts), [*expected, *others]) == expected


@given(parts_lists, st.randoms(use_true_random=False))
def test_the_same_updates_in_any_order_are_the_same_bytes_and_each_part_begins_where_it_is_said(parts, rng):
    content = list_write(parts)
    mixed = [Part(version=part.version, updates=tuple(rng.sample(part.updates, len(part.updates)))) for part in parts]
    assert list_write(mixed) == content
    edges = [0, *part_starts(content), len(content)] if parts else [0]
    pieces = [content[start:end] for start, end in itertools.pairwise(edges)]
    assert pieces == [list_write([part]) for part in parts]


@given(parts_lists.filter(bool), st.data())
def test_a_list_that_is_cut_within_a_part_is_refused_and_not_read_in_part(parts, data):
    content = list_write(parts)
    end = data.draw(st.integers(1, len(content) - 1).filter(lambda at: at not in part_starts(content)))
    with pytest.raises(MalformedDocument):
        versions_find(content[:end], ["0" * 64])
    with pytest.raises(MalformedDocument):
        part_starts(content[:end])


BEFORE = (
    '{"base":"' + "b" * 64 + '","contributions":["' + "a" * 64 + '"],"files":[{"chunks":["' + "c" * 64 + '"],'
    '"path":"adapter.bin","sha256":"' + "c" * 64 + '","size_bytes":9,"tensors":[]}],"kind":"adapter","patches":[],'
    '"title":"t","variants":[],"version":2}'
).encode()  # fmt: skip
"""The index of an adapter as it was signed before there were lists."""


def test_an_index_that_was_signed_before_lists_is_read_as_it_is_under_its_own_name():
    index = index_parse(BEFORE)
    assert index.contributions == ("a" * 64,)
    assert index_digest(index) == sha256_hex(BEFORE)


def test_an_index_has_the_very_fields_that_a_program_of_before_names_it_by():
    """It writes the index anew out of the fields that it knows: with one more, it would be another release."""
    entry = FileEntry(path="adapter.bin", size_bytes=9, sha256="c" * 64, chunks=("c" * 64,), tensors=())
    index = ReleaseIndex(
        kind=ReleaseKind.ADAPTER, version=3, title="t", base="b" * 64, files=(entry,), contributions=()
    )
    now, before = json.loads(canonical_bytes(index)), json.loads(BEFORE)
    assert now.keys() == before.keys()
    assert now["files"][0].keys() == before["files"][0].keys()

"""A base in several forms after another such: what a school that has one form of the older asks the centre for."""

import json

import numpy as np
import onnx
import pytest
from django.utils import timezone
from onnx import helper

from central.releases.models import ReleaseKindChoice
from central.releases.packaging.graph_weights import WeightFile
from central.releases.services import release_build_begin, release_built, release_draft_create, release_sign
from central.releases.variants import BuiltPackage
from federation.trust.blob_sources import DirectoryBlobSource
from federation.trust.fetch import release_fetch
from federation.trust.release_bytes import index_files, index_parse, index_verify
from tests.central.test_variants import CARD, gate, suite

pytestmark = pytest.mark.django_db
RNG = np.random.default_rng(7)
SIZES = {"embed": 700_000, "layer": 400_000, "head": 90_000}


class Counted(DirectoryBlobSource):
    """The centre's blobs, and how many bytes of each were asked for."""

    def __init__(self, directory):
        super().__init__(directory)
        self.bytes = {}

    def read_range(self, sha256, start, length):
        self.bytes[sha256] = self.bytes.get(sha256, 0) + length
        yield from super().read_range(sha256, start, length)


def weights():
    return {name: RNG.integers(0, 256, size, dtype=np.uint8) for name, size in SIZES.items()}


def after_tuning(tensors):
    """The embeddings stay, the layer moves a little, the head is another."""
    return {
        "embed": tensors["embed"],
        "layer": tensors["layer"] + RNG.integers(0, 2, SIZES["layer"], dtype=np.uint8),
        "head": RNG.integers(0, 256, SIZES["head"], dtype=np.uint8),
    }


def in_force(disk, tmp_path, variants):
    """Return the index of a new base whose `variants` have these tensors."""
    release = release_draft_create(kind=ReleaseKindChoice.BASE, title="Soro", actor="t", now=timezone.now())
    release_build_begin(release=release, actor="t", now=timezone.now())
    packages = []
    for name, tensors in variants.items():
        folder = tmp_path / f"build-{release.version}" / name
        folder.mkdir(parents=True)
        with WeightFile(folder / "model.onnx.data") as file:
            initializers = [file.put(tensor, values) for tensor, values in tensors.items()]
        graph = helper.make_graph([], "g", [], [], initializer=initializers)
        onnx.save(helper.make_model(graph), folder / "model.onnx")
        (folder / "card.json").write_text(json.dumps({"name": name, "version": release.version}))
        packages.append(BuiltPackage(folder=folder, card=CARD, suite=suite(8), variant=name))
    release_built(release=release, packages=packages, disk=disk, now=timezone.now())
    gate(release, **dict.fromkeys(variants, 8))
    release_sign(release=release, disk=disk, actor="t", now=timezone.now())
    return index_parse(bytes(release.index_bytes))


@pytest.fixture
def bases(disk, keys, tmp_path):
    old = {"int8": weights(), "fp16": weights()}
    new = {name: after_tuning(tensors) for name, tensors in old.items()}
    return in_force(disk, tmp_path, old), in_force(disk, tmp_path, new)


def fetched(disk, tmp_path, index, variant, *, reuse=()):
    """Bring one variant to a school's disk; return where it lies and what was asked of the centre."""
    source, name = Counted(disk.blobs), f"{index.version}-{variant}"
    into = release_fetch(
        index=index,
        variant=variant,
        source=source,
        into=tmp_path / "node" / "releases" / name,
        partial=tmp_path / "node" / "downloads" / name,
        reuse=reuse,
    )
    index_verify(into, index)
    return into, source.bytes


@pytest.mark.parametrize("variant", ["int8", "fp16"])
def test_only_what_changed_in_the_own_variant_comes_and_what_moved_a_little_as_patches(disk, bases, tmp_path, variant):
    old, new = bases
    before, _ = fetched(disk, tmp_path, old, variant)
    _, asked = fetched(disk, tmp_path, new, variant, reuse=[before])
    (patches,) = new.patches
    files = {entry.path: entry for entry in index_files(new, variant)}
    assert asked.keys() <= {entry.sha256 for entry in files.values()} | {patches.sha256}
    assert asked[files["model.onnx.data"].sha256] <= SIZES["head"] + 4096
    assert 0 < asked[patches.sha256] < 0.2 * SIZES["layer"]
    # The blob has the patches of both variants, of which this school needs half.
    assert asked[patches.sha256] < 0.6 * sum(patches.sizes)


def test_patches_of_another_variant_than_the_one_on_the_disk_are_not_asked_for(disk, bases, tmp_path):
    old, new = bases
    before, _ = fetched(disk, tmp_path, old, "int8")
    _, asked = fetched(disk, tmp_path, new, "fp16", reuse=[before])
    assert asked.keys() <= {entry.sha256 for entry in index_files(new, "fp16")}

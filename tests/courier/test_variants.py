"""A base in several forms by stick: each school gets the form that its assignment names, from a disk or a bucket."""

from dataclasses import asdict, replace
from uuid import uuid4

import pytest

from central.rollouts.models import Assignment
from central.schools.models import Node
from federation.trust import stick_layout as layout
from federation.trust.release_bytes import index_files, index_parse, variant_read
from node.installed.hardware import hardware_measure
from node.installed.services import trial_commit
from node.installed.state import slots_read
from tests.courier.conftest import package_make
from tests.courier.test_faults import other  # noqa: F401 - a fixture
from tests.services import BUCKET, bucket_server


@pytest.fixture(scope="module")
def bucket_endpoint():
    with bucket_server() as address:
        yield address


@pytest.fixture(params=["disk", "s3"])
def base(request, settings, tmp_path, package, centre):
    """A base whose second form asks for more memory than the smallest PC has."""
    if request.param == "s3":
        settings.S3_ENDPOINT = request.getfixturevalue("bucket_endpoint")
        settings.BLOBS_ADDRESS = f"s3://{BUCKET}/{uuid4().hex}"
    release = centre.publish(package, further={"int8": package_make(tmp_path / "larger", seed=4)})
    assert (centre.disk.blobs.exists(), request.param) in ((True, "disk"), (False, "s3"))
    return release


def memory_set(node, school, memory_bytes):
    """Let the centre believe that the node's PC has this much memory."""
    hardware = replace(hardware_measure(school.root), memory_bytes=memory_bytes, disk_free_bytes=10**12)
    Node.objects.filter(pk=node.pk).update(hardware=asdict(hardware))


def blobs_on(stick):
    """Return the SHA-256 of every file of a release that the stick holds."""
    return {layout.part_blob(path.name) for path in (stick.place / "soro" / layout.BLOBS).rglob("*.0000")}


def named(release, *variants):
    index = index_parse(bytes(release.index_bytes))
    return {entry.sha256 for variant in variants for entry in index_files(index, variant)}


@pytest.mark.parametrize(("memory_bytes", "variant"), [(2**20, "int4"), (2**33, "int8")])
def test_a_stick_carries_the_variant_that_its_school_is_assigned_and_the_node_installs_it(
    centre, enrolled, stick, base, memory_bytes, variant
):
    memory_set(Node.objects.get(), enrolled, memory_bytes)
    centre.roll_out(base)
    centre.export(stick)
    assert blobs_on(stick) == named(base, variant)

    outcome = enrolled.bring_in(stick)
    assert (outcome.release_state, outcome.failures) == ("trial", ())
    assert trial_commit(root=enrolled.root, now=enrolled.clock())
    assert variant_read(enrolled.root / "releases" / base.digest) == variant
    assert slots_read(enrolled.root).current == base.digest
    enrolled.write_out(stick)
    assert centre.take_in(stick).problems == []
    assert (Node.objects.get().running, Node.objects.get().variants) == (base.digest, {base.digest: variant})
    assert Assignment.objects.get().variant == variant


def test_a_stick_for_two_schools_carries_the_variants_of_both(centre, enrolled, stick, base, other):  # noqa: F811
    memory_set(Node.objects.get(school__name="Мактаби №1"), enrolled, 2**20)
    memory_set(other.node, enrolled, 2**33)
    centre.roll_out(base)
    centre.export(stick)
    assert blobs_on(stick) == named(base, "int4", "int8")
    assert enrolled.bring_in(stick).failures == ()
    assert variant_read(enrolled.root / "releases" / base.digest) == "int4"

    centre.export(stick, schools=["Мактаби №1"])
    assert blobs_on(stick) == named(base, "int4", "int8")

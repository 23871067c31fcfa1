"""A base in several forms on a school's PC: one of them comes, one that does not fit is refused, what is here stays."""

from dataclasses import replace

import pytest

from federation.inference.providers import CUDA_LIBRARY
from federation.trust.errors import FetchStopped, VariantUnknown
from federation.trust.fetch import files_size_bytes
from federation.trust.release_bytes import index_digest, index_files
from federation.wire.releases import InstallState
from node.installed.disk import download_path, release_path, variants_present
from node.installed.errors import GpuTooSmall, MemoryTooSmall
from node.installed.hardware import Gauges, gpu_memory_bytes, hardware_measure
from node.installed.services import active_release
from node.status import status_read
from tests.node.test_installed import GPU_BYTES, NOW, Desk

pytestmark = pytest.mark.django_db
MEBIBYTE = 2**20


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@pytest.fixture
def forms(desk):
    return desk.make_variants("int8", "fp16")


def with_gpu(gpu_bytes, **changes):
    return Gauges(hardware=lambda root: replace(hardware_measure(root), gpu_memory_bytes=gpu_bytes, **changes))


def variant_here(desk, index):
    return variants_present(desk.root).get(index_digest(index))


@pytest.mark.parametrize(("variant", "gpu_bytes"), [("int8", 0), ("fp16", GPU_BYTES)])
def test_the_named_variant_comes_alone_and_runs(desk, forms, variant, gpu_bytes):
    desk.commit(forms, variant=variant, gauges=with_gpu(gpu_bytes))
    package = active_release(root=desk.root).package
    assert (package / "model.bin").read_bytes() == variant.encode() * 300_000
    assert variant_here(desk, forms) == variant
    assert status_read(root=desk.root, now=NOW).variant == variant
    assert desk.report().state is InstallState.COMMITTED
    assert desk.report().bytes_fetched == files_size_bytes(index_files(forms, variant))


def test_a_variant_that_does_not_fit_is_skipped_unfetched_with_the_reason_and_the_old_release_runs_on(desk, forms):
    desk.commit(desk.make("first"))
    before = desk.files()
    with pytest.raises(GpuTooSmall) as refused:
        desk.install(forms, variant="fp16", gauges=with_gpu(GPU_BYTES - 1))
    assert refused.value.fields == {"needed_bytes": GPU_BYTES, "available_bytes": GPU_BYTES - 1}
    assert (desk.running(), desk.files()) == ("first", before)
    report = desk.report()
    assert (report.state, report.error_code, report.bytes_fetched) == (InstallState.SKIPPED, "gpu_too_small", 0)


def test_a_variant_that_needs_a_larger_pc_is_skipped_like_a_release_that_does(desk, forms):
    larger = replace(forms, variants=(forms.variants[0], replace(forms.variants[1], memory_bytes=2 * GPU_BYTES)))
    with pytest.raises(MemoryTooSmall):
        desk.install(larger, variant="fp16", gauges=with_gpu(GPU_BYTES, memory_bytes=GPU_BYTES))
    assert desk.report().error_code == "memory_too_small"
    assert desk.running() is None


@pytest.mark.parametrize("variant", ["", "fp8"])
def test_a_variant_that_the_release_does_not_have_is_refused(desk, forms, variant):
    before = desk.files()
    with pytest.raises(VariantUnknown):
        desk.install(forms, variant=variant)
    assert (desk.report().state, desk.report().error_code) == (InstallState.FAILED_VERIFY, "variant_unknown")
    assert desk.files() == before


def test_a_half_fetched_variant_goes_when_another_is_named_and_goes_on_when_it_is_not(desk, forms):
    with pytest.raises(FetchStopped):
        desk.install(forms, sequence=1, variant="fp16", gauges=with_gpu(GPU_BYTES), should_stop=lambda: True)
    digest = index_digest(forms)
    assert download_path(desk.root, digest, "fp16").is_dir()
    assert desk.install(forms, sequence=2, variant="int8") is InstallState.TRIAL
    assert not download_path(desk.root, digest, "fp16").exists()
    assert variant_here(desk, forms) == "int8"


def test_a_base_that_lies_here_stays_in_its_form_whatever_is_named_later(desk, forms):
    desk.commit(forms, variant="int8", gauges=with_gpu(0))
    adapter = desk.make("adapter", base=forms)
    desk.commit(adapter, base=forms, variant="fp16", gauges=with_gpu(0))
    active = active_release(root=desk.root)
    assert (active.digest, active.package) == (index_digest(adapter), release_path(desk.root, index_digest(forms)))
    assert variant_here(desk, forms) == "int8"
    assert desk.report().bytes_fetched == files_size_bytes(adapter.files)


@pytest.mark.parametrize("marker", [None, b"fp8", b"\xff"])
def test_a_directory_that_forgot_its_form_is_fetched_again_in_the_named_one(desk, forms, marker):
    desk.commit(forms, variant="int8", sequence=1)
    place = release_path(desk.root, index_digest(forms)) / "variant"
    place.unlink() if marker is None else place.write_bytes(marker)
    adapter = desk.make("adapter", base=forms)
    desk.commit(adapter, base=forms, variant="int8", sequence=2)
    assert variant_here(desk, forms) == "int8"
    assert (active_release(root=desk.root).package / "model.bin").read_bytes() == b"int8" * 300_000


@pytest.fixture
def runtime(tmp_path):
    """Where an ONNX Runtime with NVIDIA's provider is installed."""
    library = tmp_path / "onnxruntime" / CUDA_LIBRARY
    library.parent.mkdir(parents=True)
    library.touch()
    return tmp_path / "onnxruntime"


def program(tmp_path, *lines):
    path = tmp_path / "gpu-program"
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)
    return str(path)


def test_the_memory_of_the_first_gpu_is_what_nvidias_program_says(tmp_path, runtime):
    asked = tmp_path / "asked"
    path = program(tmp_path, f'echo "$@" > {asked}', "echo 8192", "echo 4096")
    assert gpu_memory_bytes(runtime=runtime, program=path) == 8192 * MEBIBYTE
    assert asked.read_text().split() == ["--query-gpu=memory.total", "--format=csv,noheader,nounits"]


@pytest.mark.parametrize("lines", [(), ("echo No devices were found",), ("echo 8192", "exit 9")])
def test_a_program_that_finds_no_gpu_means_none(tmp_path, runtime, lines):
    assert gpu_memory_bytes(runtime=runtime, program=program(tmp_path, *lines)) == 0


def test_without_the_program_or_a_runtime_for_gpus_there_is_none(tmp_path, runtime):
    assert gpu_memory_bytes(runtime=runtime, program=str(tmp_path / "nothing")) == 0
    assert gpu_memory_bytes(runtime=tmp_path, program=program(tmp_path, "echo 8192")) == 0


def test_this_pc_is_measured(tmp_path):
    found = hardware_measure(tmp_path)
    assert found.cores >= 1
    assert min(found.memory_bytes, found.disk_free_bytes) > 50_000_000

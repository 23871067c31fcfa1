"""Which form of a base a PC gets: one pure rule, the same at the centre and at the node."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.inference.variants import memory_need_bytes, variant_choose, variant_lack
from federation.trust.fetch import RESERVE_BYTES
from federation.wire.enrolment import Hardware
from federation.wire.releases import FileEntry, Variant

GIGABYTE = 10**9
PC = Hardware(cores=2, memory_bytes=8 * GIGABYTE, disk_free_bytes=50 * GIGABYTE, machine="x86_64", gpu_memory_bytes=0)
WITH_GPU = replace(PC, gpu_memory_bytes=8 * GIGABYTE)


def variant(name, size_bytes, *, memory_bytes=0, gpu_memory_bytes=0):
    file = FileEntry(path="model.onnx.data", size_bytes=size_bytes, sha256="0" * 64, chunks=(), tensors=())
    return Variant(name=name, memory_bytes=memory_bytes, gpu_memory_bytes=gpu_memory_bytes, files=(file,))


MIXED = variant("mixed", GIGABYTE)
INT8 = variant("int8", 2 * GIGABYTE, memory_bytes=6 * GIGABYTE)
FP16 = variant("fp16", 4 * GIGABYTE, memory_bytes=8 * GIGABYTE, gpu_memory_bytes=6 * GIGABYTE)
FP8 = variant("fp8", 2 * GIGABYTE, memory_bytes=6 * GIGABYTE, gpu_memory_bytes=3 * GIGABYTE)
ALL = (MIXED, FP16, FP8, INT8)


@pytest.mark.parametrize(
    ("hardware", "chosen"),
    [
        (WITH_GPU, "fp16"),
        (replace(WITH_GPU, gpu_memory_bytes=6 * GIGABYTE - 1), "fp8"),
        (replace(WITH_GPU, memory_bytes=8 * GIGABYTE - 1), "fp8"),
        (replace(WITH_GPU, disk_free_bytes=4 * GIGABYTE + RESERVE_BYTES - 1), "fp8"),
        (replace(WITH_GPU, gpu_memory_bytes=2 * GIGABYTE), "int8"),
        (PC, "int8"),
        (replace(PC, memory_bytes=4 * GIGABYTE), "mixed"),
        (replace(WITH_GPU, memory_bytes=4 * GIGABYTE), "mixed"),
        (replace(PC, memory_bytes=0, disk_free_bytes=0), "mixed"),
    ],
)
def test_a_pc_gets_the_first_further_variant_that_it_can_carry_or_else_the_first(hardware, chosen):
    assert variant_choose(ALL, hardware) == chosen


def test_a_base_of_one_form_has_no_variant_to_choose():
    assert variant_choose((), WITH_GPU) == ""


def test_what_a_pc_lacks_is_named_with_both_figures():
    lack = variant_lack(FP16, PC)
    assert (lack.what, lack.needed_bytes, lack.available_bytes) == ("gpu_memory", 6 * GIGABYTE, 0)
    lack = variant_lack(FP16, replace(WITH_GPU, memory_bytes=1))
    assert (lack.what, lack.needed_bytes, lack.available_bytes) == ("memory", 8 * GIGABYTE, 1)
    assert variant_lack(MIXED, replace(PC, memory_bytes=0)) is None


@given(st.integers(0, 10**11), st.integers(0, 10**11), st.integers(0, 10**11), st.integers(0, 10**10))
def test_a_pc_is_never_offered_what_it_would_refuse_and_more_of_anything_never_gets_it_less(
    memory_bytes, gpu_memory_bytes, disk_free_bytes, more
):
    pc = replace(PC, memory_bytes=memory_bytes, gpu_memory_bytes=gpu_memory_bytes, disk_free_bytes=disk_free_bytes)
    order = [each.name for each in (*ALL[1:], ALL[0])]
    chosen = variant_choose(ALL, pc)
    assert variant_lack(next(each for each in ALL if each.name == chosen), pc) is None
    for name in ("memory_bytes", "gpu_memory_bytes", "disk_free_bytes"):
        richer = replace(pc, **{name: getattr(pc, name) + more})
        assert order.index(variant_choose(ALL, richer)) <= order.index(chosen)


def test_an_engine_needs_a_quarter_more_than_its_package_and_200_megabytes():
    assert memory_need_bytes(640_000_000) == GIGABYTE

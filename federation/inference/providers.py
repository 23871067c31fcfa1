"""The pure rule of what computes a package: a GPU, where it was made for one and can be used, else the CPU."""

from __future__ import annotations

from collections.abc import Sequence

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
CUDA_LIBRARY = "capi/libonnxruntime_providers_cuda.so"
"""The part of an installed ONNX Runtime that makes it offer CUDA."""
GPU_FORMS = ("fp16", "fp8")
"""Quantisations, as a package's card names them, that are for GPUs."""


def providers_choose(*, quantisation: str, offered: Sequence[str]) -> list[str]:
    """Return ONNX Runtime's providers for a package, best first, out of those that are `offered`.

    The CPU is always the last: it computes the operators for which the GPU has no kernel, and the whole graph where the
    GPU cannot be opened.
    """
    return [CUDA, CPU] if quantisation in GPU_FORMS and CUDA in offered else [CPU]

"""What this PC can carry, as the node measures it for the centre and for its own refusals.

A GPU counts only where the engine could use it: ONNX Runtime was installed with NVIDIA's provider, and NVIDIA's own
program answers how much memory the GPU has.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from federation.inference.providers import CUDA_LIBRARY
from federation.wire.enrolment import Hardware
from node.installed.memory import memory_available_bytes

MEBIBYTE = 2**20
GPU_PROGRAM = "nvidia-smi"
GPU_SECONDS = 10.0


def hardware_measure(root: Path) -> Hardware:
    """Return what this PC can carry now; `root` lies on the disk that counts."""
    return Hardware(
        cores=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk_free_bytes=shutil.disk_usage(root).free,
        machine=platform.machine(),
        gpu_memory_bytes=gpu_memory_bytes(runtime=_runtime_folder()),
    )


def gpu_memory_bytes(*, runtime: Path, program: str = GPU_PROGRAM) -> int:
    """Return the memory of the first GPU that the engine of the ONNX Runtime in the folder `runtime` can use, or 0.

    `program` prints it in MiB, one line a GPU; the engine uses the first.
    """
    if not (runtime / CUDA_LIBRARY).is_file():
        return 0
    command = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=GPU_SECONDS, check=True)
        return int(ended.stdout.split()[0]) * MEBIBYTE
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        # No program, no driver or no GPU: what the engine cannot use is as good as none.
        return 0


def _runtime_folder() -> Path:
    """Return where ONNX Runtime is installed, without loading it into this process."""
    found = importlib.util.find_spec("onnxruntime")
    return Path(found.origin).parent if found and found.origin else Path()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What a release is measured against: the memory that an engine could have now, and what the PC is."""

    memory_available: Callable[[Path], int] = memory_available_bytes
    hardware: Callable[[Path], Hardware] = hardware_measure


GAUGES = Gauges()

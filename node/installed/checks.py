"""What `manage.py node check` looks at on the school's PC: disk, keys, the release that runs, the memory for it.

Registered for deployment checks only: a damaged release must not keep the commands from starting that will mend it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register  # noqa: A004 - Django's own name

from federation.errors import FederationError
from federation.inference.variants import memory_need_bytes
from federation.trust.fetch import RESERVE_BYTES, disk_free_bytes, files_size_bytes
from federation.trust.keys import node_key_load
from federation.trust.release_bytes import index_read, index_verify, installed_files
from node.installed.memory import memory_available_bytes
from node.installed.services import active_release

NODE_TAG = "node"
DISK_WANTED_BYTES = 1024**3
MEGABYTE = 1_000_000


@register(NODE_TAG, deploy=True)
def disk_check(app_configs: Sequence[AppConfig] | None, **_options: object) -> list[CheckMessage]:
    """Return what is wrong with the room on the disk."""
    del app_configs
    root = Path(settings.NODE_ROOT)
    free_bytes = disk_free_bytes(root)
    if free_bytes < RESERVE_BYTES:
        return [Error(f"{free_bytes} bytes are free under {root}.", hint="Remove other files.", id="node.E001")]
    if free_bytes < DISK_WANTED_BYTES:
        return [
            Warning(f"{free_bytes} bytes are free under {root}.", hint="A base release may need 1 GB.", id="node.W001")
        ]
    return []


@register(NODE_TAG, deploy=True)
def key_check(app_configs: Sequence[AppConfig] | None, **_options: object) -> list[CheckMessage]:
    """Return what is wrong with the node's key, once the school is enrolled."""
    del app_configs
    root = Path(settings.NODE_ROOT)
    path = root / "keys" / "node.pem"
    if not (root / "node.json").exists():
        return [Warning("The school is not enrolled.", hint="Run `manage.py node enrol`.", id="node.W002")]
    try:
        node_key_load(path)
    except FederationError as error:
        return [Error(f"The node's key is not usable: {error}", hint="Enrol again with a new code.", id="node.E002")]
    if path.stat().st_mode & 0o077:
        return [Error(f"Others may read {path}.", hint="Set its mode to 0600.", id="node.E003")]
    return []


@register(NODE_TAG, deploy=True)
def release_check(app_configs: Sequence[AppConfig] | None, **_options: object) -> list[CheckMessage]:
    """Return what is wrong with the release that runs, down to its last byte."""
    del app_configs
    try:
        active = active_release(root=Path(settings.NODE_ROOT))
        if active is None:
            return [Warning("No release is installed.", hint="Run `manage.py node sync --once`.", id="node.W003")]
        for directory in {active.package, active.adapter.parent if active.adapter else active.package}:
            index_verify(directory, index_read(directory))
    except FederationError as error:
        return [
            Error(
                f"The release is not in order: {error}",
                hint="Remove its directory, then run `manage.py node sync --once`.",
                id="node.E004",
            )
        ]
    return []


@register(NODE_TAG, deploy=True)
def fit_check(app_configs: Sequence[AppConfig] | None, **_options: object) -> list[CheckMessage]:
    """Return whether this PC has the memory for the release that is installed; nothing before the first one."""
    del app_configs
    root = Path(settings.NODE_ROOT)
    try:
        active = active_release(root=root)
        if active is None:
            return []
        needed = memory_need_bytes(files_size_bytes(installed_files(active.package, index_read(active.package))))
    except FederationError:
        # What is wrong with the release is for `release_check` to say.
        return []
    available = memory_available_bytes(root)
    figures = (
        f"The release needs {needed // MEGABYTE} MB of memory, and the engine can have {available // MEGABYTE} MB."
    )
    if needed > available:
        return [Warning(figures, hint="End other programs, or ask for a smaller release.", id="node.W004")]
    return [Info(figures, id="node.I001")]

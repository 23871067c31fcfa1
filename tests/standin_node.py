"""A node as a school runs it, with the real stand-in: real processes, a release where an installed one lies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from federation.demo.commands import CommandLine
from federation.trust.release_bytes import index_build, index_digest
from federation.wire.canonical import canonical_bytes
from federation.wire.releases import ReleaseKind
from node.installed.state import Phase, Slots, slots_write
from tests.standin_package import standin_package
from tests.stations import node_run


@contextmanager
def standin_node(
    root: Path, *, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[CommandLine, str]]:
    """Yield the command line and the address of a node at `root` whose engine has loaded the stand-in."""
    with node_run(root, release=_release_lay(root, standin_package()), environment=environment) as running:
        yield running


def _release_lay(root: Path, package: Path) -> str:
    """Lay `package` as the release that runs, without copying its 200 MB, and return its digest."""
    index = index_build(
        package=package, kind=ReleaseKind.BASE, version=1, title="Stand-in", base=None, contributions=()
    )
    digest = index_digest(index)
    shutil.copytree(package, root / "releases" / digest, copy_function=_link)
    (root / "releases" / digest / "index.json").write_bytes(canonical_bytes(index))
    slots_write(root, Slots(current=digest, phase=Phase.COMMITTED))
    return digest


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        # The kept package and the node's root may be on two file systems.
        shutil.copy2(source, target)

"""The node's own code as a wheel, packed from where it lies: the same code gives the same bytes.

Neither a source tree nor a build backend is needed, so a centre that was itself installed from a wheel can do it. The
centre's own code is left out: no school's PC needs it. Source: PyPA specification, Binary distribution format 1.0.
"""

from __future__ import annotations

import hashlib
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import federation
from central.installers.errors import NodeCodeMissing

DISTRIBUTION = "soro-schools"
PACKAGES = ("federation", "node")
TREE = Path(federation.__file__).parent.parent
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""ZIP knows no earlier date; a real one would make other bytes of the same code."""
_MODE = 0o644 << 16
_WHEEL = "Wheel-Version: 1.0\nGenerator: soro\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnWheel:
    """The wheel's file, and the version that its metadata name."""

    path: Path
    version: str
    sha256: str


def own_wheel_write(into: Path, *, tree: Path = TREE) -> OwnWheel:
    """Leave the node's code, which lies under `tree`, as a wheel in the folder `into`.

    Raises:
        NodeCodeMissing: this centre has no code for nodes.
    """
    distribution = metadata.distribution(DISTRIBUTION)
    name = f"{DISTRIBUTION.replace('-', '_')}-{distribution.version}"
    folder = f"{name}.dist-info"
    path = into / f"{name}-py3-none-any.whl"
    record = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        own = [(f"{folder}/METADATA", _metadata(distribution))]
        for name_inside, content in (*_code(tree), *own, (f"{folder}/WHEEL", _WHEEL.encode())):
            _put(wheel, name_inside, content)
            digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name_inside},sha256={digest},{len(content)}\n")
        _put(wheel, f"{folder}/RECORD", ("".join(record) + f"{folder}/RECORD,,\n").encode())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return OwnWheel(path=path, version=distribution.version, sha256=sha256)


def _metadata(distribution: metadata.Distribution) -> bytes:
    # Started in its source tree, Python finds what setuptools left there, which has the same text under another name.
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")
    if not text:
        raise NodeCodeMissing(path=DISTRIBUTION)
    return text.encode()


def _code(tree: Path) -> Iterator[tuple[str, bytes]]:
    for package in PACKAGES:
        if not (tree / package / "__init__.py").is_file():
            raise NodeCodeMissing(path=str(tree / package))
        for path in sorted((tree / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(tree).as_posix(), path.read_bytes()


def _put(wheel: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = _MODE
    entry.compress_type = zipfile.ZIP_DEFLATED
    wheel.writestr(entry, content)

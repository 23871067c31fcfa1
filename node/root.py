"""Where a node keeps everything that is its own: one root directory, named by `--root` or the environment.

Knows paths and nothing of what is in them. Standard library only, because settings are built from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ENVIRONMENT_NAME = "SORO_NODE_ROOT"
DEFAULT_ROOT = Path("var/node")
DATABASE_NAME = "node.sqlite3"
SECRETS = ("django.secret", "pseudonym.secret")
"""In `keys/`: PINs and sessions stand on the first, the teachers' pseudonyms at the centre on the second."""
# The kernel takes 107 bytes for a Unix socket's path; the rest of the root's name decides whether it fits.
MAX_SOCKET_PATH_BYTES = 100


def root_find(*, argv: Sequence[str], environ: Mapping[str, str]) -> Path:
    """Return the absolute root that `--root` on the command line names, else the environment, else `var/node`."""
    for position, word in enumerate(argv):
        if word == "--root" and position + 1 < len(argv):
            return Path(argv[position + 1]).absolute()
        if word.startswith("--root="):
            return Path(word.partition("=")[2]).absolute()
    return Path(environ.get(ENVIRONMENT_NAME) or DEFAULT_ROOT).absolute()


def secret_read(path: Path) -> str:
    """Return the secret at `path`; where none was, a new one now lies there, readable by its owner alone."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # A link appears whole or not at all, so that of two processes starting together both read the same secret.
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(secrets.token_urlsafe(48))
                stream.flush()
                os.fsync(stream.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            Path(draft).unlink()
    return path.read_text(encoding="ascii")


def engine_socket_path(root: Path) -> Path:
    """Return where the engine of the node at `root` listens; for a long root that is in the temporary directory."""
    path = root / "engine.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"soro-{os.getuid()}-{name}" / "engine.sock"

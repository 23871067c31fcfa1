"""Keep the token of the open session between contacts, so that an idle one is a single request.

The token is a secret of half an hour: only the node's own user may read it, and the centre's word alone ends it.
"""

from __future__ import annotations

from pathlib import Path

from federation.trust.durable import durable_write

_NAME = "session.token"


def session_token_read(root: Path) -> str:
    """Return the token of the session opened last; empty where there is none."""
    try:
        return (root / "keys" / _NAME).read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def session_token_keep(root: Path, token: str) -> None:
    """Remember `token` for the next contact."""
    durable_write(root / "keys" / _NAME, token.encode("ascii", "replace"), mode=0o600)


def session_token_forget(root: Path) -> None:
    """Remember no session."""
    (root / "keys" / _NAME).unlink(missing_ok=True)

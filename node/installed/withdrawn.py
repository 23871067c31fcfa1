"""Whether the centre has withdrawn a release that lies here: pure, and believes verified metadata alone.

It says nothing on what to do: what runs goes on until the director names another, for a school without a model has no
use of one that is safe.
"""

from __future__ import annotations

from federation.trust.tuf_client import Trusted
from federation.wire.releases import ReleaseIndex


def is_withdrawn(*, digest: str, index: ReleaseIndex, trusted: Trusted) -> bool:
    """Return whether the newest metadata that was verified here holds the release, or the base under it, no more."""
    has_metadata = bool(trusted.version)
    named = {digest, index.base or digest}
    return has_metadata and not named <= set(trusted.releases)

"""The sticks and folders from which a person may choose on this PC, for every page and command that offers them."""

from __future__ import annotations

from django.conf import settings

from federation.trust.stick_media import Medium, media_find, mounts_read


def media_here() -> tuple[Medium, ...]:
    """Return what is mounted now, and the folders that the operator named."""
    return media_find(mounts=mounts_read(), folders=settings.NODE_STICK_FOLDERS)

"""Into which class of school PCs one belongs, by what it said of itself. Pure.

PCs are bought with 2, 4, 8 or more GB, of which the system shows a little less; the borders lie between.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from federation.wire.enrolment import Hardware

_GIB = 2**30


class HardwareClass(models.TextChoices):
    """What a PC can carry."""

    UNKNOWN = "unknown", _("not told yet")
    SMALL = "small", _("under 3 GB of memory")
    MEDIUM = "medium", _("about 4 GB of memory")
    LARGE = "large", _("8 GB of memory or more")
    GPU = "gpu", _("with a GPU")


def hardware_class(hardware: Hardware | None) -> HardwareClass:
    """Return the class of a PC with this hardware; None: it has not said yet."""
    if hardware is None:
        return HardwareClass.UNKNOWN
    if hardware.gpu_memory_bytes > 0:
        return HardwareClass.GPU
    if hardware.memory_bytes >= 7 * _GIB:
        return HardwareClass.LARGE
    return HardwareClass.MEDIUM if hardware.memory_bytes >= 3 * _GIB else HardwareClass.SMALL

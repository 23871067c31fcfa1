"""Why the centre refuses to build, sign or serve a release."""

from __future__ import annotations

from federation.errors import CapacityError, WireError


class ReleaseUnknown(WireError):
    """No release has this digest or version."""

    code = "release_unknown"


class BaseNotReady(WireError):
    """An adapter, round or rollout needs a base release that is signed and in force; `release` is not."""

    code = "base_not_ready"


class VariantsDiffer(CapacityError):
    """A variant of a base differs from the first in `what`, so that one adapter could not serve both."""

    code = "variants_differ"


class BuildInterrupted(CapacityError):
    """The process that built the release has ended before it was done."""

    code = "build_interrupted"

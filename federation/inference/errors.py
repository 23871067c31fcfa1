"""What can be wrong with a package, an adapter or a prompt."""

from __future__ import annotations

from federation.errors import CapacityError, TrustError, WireError


class PackageIncomplete(TrustError):
    """The package at `path` lacks the file `missing`."""

    code = "package_incomplete"


class PackageCardInvalid(TrustError):
    """The package's card.json at `path` cannot be used: `problem`."""

    code = "package_card_invalid"


class EngineTooOld(CapacityError):
    """The package is of the format `needed`, and this program knows those up to `has`."""

    code = "engine_too_old"


class EngineFailed(CapacityError):
    """The engine could not load or run the package at `path`: `problem`."""

    code = "engine_failed"


class PromptTooLong(WireError):
    """The last question alone has `tokens` tokens where `allowed` fit."""

    code = "prompt_too_long"


class AdapterDamaged(TrustError):
    """The adapter at `path` cannot be read: `problem`."""

    code = "adapter_damaged"


class AdapterForAnotherBase(TrustError):
    """The adapter belongs to the base `found`, not to `expected`."""

    code = "adapter_for_another_base"


class AdapterShapeMismatch(TrustError):
    """The factor of `slot` has the shape `found` where the base has `expected`."""

    code = "adapter_shape_mismatch"


class AdapterRankTooLarge(TrustError):
    """The adapter's rank `found` is above the base's largest, `largest`."""

    code = "adapter_rank_too_large"


class AdapterNotFinite(TrustError):
    """The factor of `slot` holds NaN or infinity."""

    code = "adapter_not_finite"


class SuiteInvalid(CapacityError):
    """The suite at `path` cannot be used: line `line` (0: the file as a whole) has the `problem`."""

    code = "suite_invalid"

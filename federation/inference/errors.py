"""What can be wrong with a package, an adapter under it or a prompt."""

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


class AdapterRankTooLarge(TrustError):
    """The adapter's rank `found` is above the base's largest, `largest`."""

    code = "adapter_rank_too_large"


class SuiteInvalid(CapacityError):
    """The suite at `path` cannot be used: line `line` (0: the file as a whole) has the `problem`."""

    code = "suite_invalid"

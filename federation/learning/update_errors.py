"""Why an update is refused; every refusal names the node as far as it is known."""

from __future__ import annotations

from federation.errors import TrustError, WireError


class MalformedUpdate(WireError):
    """The file is not an envelope line followed by a body."""

    code = "malformed_update"


class UpdateOfOtherNode(TrustError):
    """The update is signed by one node and names another."""

    code = "update_of_other_node"


class UpdateOfOtherPlan(TrustError):
    """The update answers another round's plan."""

    code = "update_of_other_plan"


class UpdateOnOtherBase(TrustError):
    """The update was trained on another base release than the plan's."""

    code = "update_on_other_base"


class UpdateVariantUnknown(TrustError):
    """The update was trained on a variant that the plan's base does not have."""

    code = "update_variant_unknown"


class UpdateRankMismatch(WireError):
    """The update's rank is not the plan's."""

    code = "update_rank_mismatch"


class UpdateLabelsOutOfRange(WireError):
    """The update was made from fewer examples than the plan asks for."""

    code = "update_labels_out_of_range"


class UpdateSlotMismatch(WireError):
    """An array that the plan's scheme wants is missing, doubled, out of order, or for no slot of the plan."""

    code = "update_slot_mismatch"


class UpdateShapeMismatch(WireError):
    """An array's shape is not what the base, the scheme and the plan's rank demand."""

    code = "update_shape_mismatch"


class UpdateSizeMismatch(WireError):
    """The body is not as long as the header's arrays in the plan's precision."""

    code = "update_size_mismatch"


class UpdateBodyMismatch(TrustError):
    """The body is not the one that was signed."""

    code = "update_body_mismatch"


class UpdateNotFinite(WireError):
    """An array holds NaN or infinity."""

    code = "update_not_finite"


class UpdateGramInvalid(WireError):
    """A Gram matrix is not positive, or not of trace `rank`."""

    code = "update_gram_invalid"


class UpdateNormTooLarge(WireError):
    """The update's L2 norm exceeds the plan's `max_norm`, to which an honest node has clipped it."""

    code = "update_norm_too_large"

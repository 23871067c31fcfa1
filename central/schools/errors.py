"""Why the centre refuses an enrolment, a session or a change of status."""

from __future__ import annotations

from federation.errors import CapacityError, TransportError, TrustError, WireError


class ClaimCodeUnknown(TrustError):
    """No claim code of the centre has these characters."""

    code = "claim_code_unknown"


class ClaimCodeUsed(TrustError):
    """Another PC has already used this claim code."""

    code = "claim_code_used"


class ClaimCodeExpired(TrustError):
    """The claim code was not used within its life; `expired_at` says until when."""

    code = "claim_code_expired"


class SheetRootUnknown(TrustError):
    """The sheet names a root of trust that this centre never had; its claim code is not used up."""

    code = "sheet_root_unknown"


class KeyTaken(TrustError):
    """The public key already belongs to another node."""

    code = "key_taken"


class NodeUnknown(TrustError):
    """No node has this id."""

    code = "node_unknown"


class NodeNotActive(TrustError):
    """The node may not open sessions in its `status`."""

    code = "node_not_active"


class NodeMismatch(TrustError):
    """A document names another node than the one that sends it."""

    code = "node_mismatch"


class NonceUnknown(TrustError):
    """The challenge is unknown, used, or older than its life."""

    code = "nonce_unknown"


class SessionUnknown(TrustError):
    """The bearer token is unknown or expired; the node opens a new session."""

    code = "session_unknown"


class StatusMoveIllegal(WireError):
    """`entity` may not go from `old` to `new`."""

    code = "status_move_illegal"


class StatusConflict(TransportError):
    """Somebody else changed `entity` meanwhile; look again."""

    code = "status_conflict"


class SchoolUnknown(WireError):
    """No school has this `name` or id."""

    code = "school_unknown"


class KeyRetired(TrustError):
    """The key was the node's once: another key, or another PC, has taken its place."""

    code = "key_retired"


class NodeWithoutKey(WireError):
    """The node's key was withdrawn; only its new claim code brings it back."""

    code = "node_without_key"


class SchoolListInvalid(WireError):
    """The list of schools cannot be read at `line`: `problem`. Nothing of it was taken."""

    code = "school_list_invalid"


class NoSchoolWaits(WireError):
    """No school of the choice waits for a sheet; `region` is the choice, empty for all."""

    code = "no_school_waits"


class OutsideRegion(TrustError):
    """`entity` lies outside the `region` that the account is for, or reaches beyond it."""

    code = "outside_region"


class RoleReadsOnly(TrustError):
    """The role of `user` changes nothing of this kind."""

    code = "role_reads_only"


class AccountRegionWrong(WireError):
    """A regional admin needs a region; who is there for the whole country has none."""

    code = "account_region_wrong"


class NameReserved(WireError):
    """`username` is the name under which a part of the centre stands in the audit."""

    code = "name_reserved"


class AddressMissing(CapacityError):
    """The centre does not know under which address schools reach it."""

    code = "address_missing"


class AuthorityUnreadable(CapacityError):
    """The file `path` holds no PEM certificate."""

    code = "authority_unreadable"

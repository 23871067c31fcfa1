"""Why signed releases, their metadata or their bytes were not accepted, and why they did not arrive."""

from __future__ import annotations

from federation.errors import CapacityError, TransportError, TrustError


class WrongRoot(TrustError):
    """The root of trust that the centre sent is not the one whose fingerprint was printed with the claim code."""

    code = "wrong_root"


class MetadataExpired(TrustError):
    """Metadata is past its expiry: nothing new is installed, and what is installed stays."""

    code = "metadata_expired"


class MetadataRolledBack(TrustError):
    """The centre, or whoever speaks for it, offers older metadata than was already trusted."""

    code = "metadata_rolled_back"


class MetadataUnsigned(TrustError):
    """Metadata lacks the signatures that its role demands."""

    code = "metadata_unsigned"


class MetadataDamaged(TrustError):
    """Metadata is not what the role above it says that it is, or cannot be read."""

    code = "metadata_damaged"


class MetadataUnreachable(TransportError):
    """Metadata could not be fetched."""

    code = "metadata_unreachable"


class ReleaseNotTrusted(TrustError):
    """TUF's targets do not hold this release: never published, or withdrawn."""

    code = "release_not_trusted"


class DirectorUnknown(TrustError):
    """No trusted metadata has yet named the director's key."""

    code = "director_unknown"


class VariantUnknown(TrustError):
    """The release has no form of this name; an empty name means a release of one form."""

    code = "variant_unknown"


class CourierUnknown(TrustError):
    """No trusted metadata has yet named the key to which letters for the centre are sealed."""

    code = "courier_unknown"


class ReleaseDamaged(TrustError):
    """A file on this disk is not what the release's index says."""

    code = "release_damaged"


class ChunkMismatch(TrustError):
    """A chunk arrived wrong twice: `path` and `chunk` say which."""

    code = "chunk_mismatch"


class BlobUnavailable(TransportError):
    """The source answered, but not with the bytes that were asked for; `status` is its HTTP status."""

    code = "blob_unavailable"


class LinkLost(TransportError):
    """The link ended before all bytes had come; what was verified is kept."""

    code = "link_lost"


class FetchStopped(TransportError):
    """The caller asked to stop; what was verified is kept."""

    code = "fetch_stopped"


class DiskFull(CapacityError):
    """There are `free_bytes` on the disk where `needed_bytes` are needed."""

    code = "disk_full"


class RepositoryMissing(CapacityError):
    """There is no TUF repository at `root` yet."""

    code = "repository_missing"


class SignaturesMissing(CapacityError):
    """A change is staged and in force only when more of the offline keys have signed it; `roles` says which wait."""

    code = "signatures_missing"


class KeyNotInForce(CapacityError):
    """No role of the repository has a key with the id `key`, or more than one key begins so."""

    code = "key_not_in_force"


class KeyNotNeeded(CapacityError):
    """The signature of the key at `path` counts for nothing in this signing request."""

    code = "key_not_needed"


class RoleUnknown(CapacityError):
    """There is no role called `role`."""

    code = "role_unknown"


class KeysTooFew(CapacityError):
    """Without that key the role `role` could not reach its threshold of `threshold` any more."""

    code = "keys_too_few"


class RequestUnreadable(CapacityError):
    """There is no usable signing request in the folder `path`."""

    code = "request_unreadable"


class RequestOutdated(CapacityError):
    """The signatures in the folder are for another change of `role` than the one that waits now, or nothing waits."""

    code = "request_outdated"

"""Reads how many bytes of a release each school PC still has to fetch."""

from __future__ import annotations

from central.releases.models import Release
from central.schools.models import Node
from federation.inference.variants import variant_choose
from federation.trust.fetch import files_size_bytes
from federation.trust.release_bytes import index_files, index_parse
from federation.wire.canonical import from_plain
from federation.wire.enrolment import Hardware
from federation.wire.releases import ReleaseIndex


class BytesNeeded:
    """The bytes of one release, and of its base, that a node lacks; patches and neighbours only make it fewer.

    The indexes are read once, because that of a large base is a few hundred kilobytes.
    """

    def __init__(self, release: Release) -> None:
        """Read what `release` is made of."""
        self._digest = release.digest
        self._own = index_parse(bytes(release.index_bytes or b""))
        self._base = index_parse(bytes(release.base.index_bytes or b"")) if release.base else None
        self._base_digest = release.base.digest if release.base else release.digest
        bases = Release.objects.exclude(digest="").values_list("digest", "base__digest")
        self._base_of = {digest: base or digest for digest, base in bases}
        self._sizes: dict[tuple[str, str], int] = {}

    def of(self, node: Node) -> int:
        """Return the bytes that the node has to fetch."""
        if node.running == self._digest:
            return 0
        variant = self._variant(node)
        own = self._size("own", self._own, variant)
        if self._base is None or self._base_of.get(node.running) == self._base_digest:
            return own
        return own + self._size("base", self._base, variant)

    def _variant(self, node: Node) -> str:
        variants = (self._base or self._own).variants
        held = node.variants.get(self._base_digest, "")
        if not variants or held in {each.name for each in variants}:
            return str(held) if variants else ""
        # A PC that has not said what it has gets the form that is for every school.
        return variant_choose(variants, from_plain(Hardware, node.hardware)) if node.hardware else variants[0].name

    def _size(self, part: str, index: ReleaseIndex, variant: str) -> int:
        key = (part, variant)
        if key not in self._sizes:
            self._sizes[key] = files_size_bytes(index_files(index, variant if index.variants else ""))
        return self._sizes[key]

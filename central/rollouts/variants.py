"""Which variant of a base the director names to a node."""

from __future__ import annotations

from central.releases.models import Release
from central.schools.models import Node
from federation.inference.variants import variant_choose
from federation.trust.release_bytes import index_parse
from federation.wire.canonical import from_plain
from federation.wire.enrolment import Hardware


def variant_for(*, node: Node, release: Release) -> str:
    """Return the variant of `release`, or of the base that it stands on, for `node`: the one that it has, or that fits.

    Empty where that base has but one form.
    """
    base = release.base or release
    names = [variant.name for variant in base.variants.all()]
    held = node.variants.get(base.digest)
    if held in names or not names:
        return str(held) if names else ""
    # Read only now: the index of a large base is a few hundred kilobytes.
    index = index_parse(bytes(base.index_bytes or b""))
    return variant_choose(index.variants, from_plain(Hardware, node.hardware))

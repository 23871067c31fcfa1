"""Which nodes a stick is for, and which releases they need from it; reads, and decides nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db.models import Q, QuerySet

from central.releases.models import Release
from central.rollouts.models import Directive
from central.schools.errors import SchoolUnknown
from central.schools.models import Node, School
from federation.trust.release_bytes import index_parse
from federation.wire.releases import ReleaseIndex


def nodes_of(*, regions: Collection[str] = (), schools: Collection[str] = ()) -> QuerySet[Node]:
    """Return the nodes with a key in these regions and of these schools by name; of the whole country where none is.

    Raises:
        SchoolUnknown: names a region or a school that there is none of.
    """
    for name in schools:
        if not School.objects.filter(name=name).exists():
            raise SchoolUnknown(name=name)
    for region in regions:
        if not School.objects.filter(region=region).exists():
            raise SchoolUnknown(name=region)
    nodes = Node.objects.exclude(public_key="").select_related("school")
    if regions or schools:
        nodes = nodes.filter(Q(school__region__in=regions) | Q(school__name__in=schools))
    return nodes.order_by("school__name", "pk")


def indexes_in_force() -> dict[str, ReleaseIndex]:
    """Return the index of every release that TUF's targets hold, by digest."""
    held = Release.objects.in_force().values_list("digest", "index_bytes")
    return {digest: index_parse(bytes(content or b"")) for digest, content in held}


def releases_needed(*, nodes: Sequence[Node], in_force: dict[str, ReleaseIndex]) -> list[ReleaseIndex]:
    """Return the releases that some node is to run and does not have, bases first."""
    wanted = dict(Directive.objects.filter(node__in=nodes).values_list("node", "release"))
    needed: set[str] = set()
    for node in nodes:
        needed |= _with_base(wanted.get(node.pk, ""), in_force) - _with_base(node.running, in_force)
    return sorted((in_force[digest] for digest in needed), key=lambda index: (index.base is not None, index.version))


def _with_base(digest: str, in_force: dict[str, ReleaseIndex]) -> set[str]:
    if digest not in in_force:
        return set()
    base = in_force[digest].base
    return {digest, base} if base in in_force and base else {digest}

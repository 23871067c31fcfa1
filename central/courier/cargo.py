"""Which nodes a stick is for, and which releases they need from it; reads, and decides nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from django.db.models import Q, QuerySet

from central.programs.models import Program, ProgramStanding, ProgramStatus
from central.releases.models import Release
from central.rollouts.models import Directive
from central.schools.errors import SchoolUnknown
from central.schools.models import Node, School
from federation.trust.release_bytes import index_files, index_files_all, index_parse, variant_names
from federation.trust.stick_writer import CarriedRelease
from federation.wire.programs import is_learning
from federation.wire.releases import FileEntry, ReleaseIndex


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


def programs_in_force() -> dict[str, ReleaseIndex]:
    """Return the index of every program that schools may be offered, by digest."""
    held = Program.objects.filter(status__in=(ProgramStatus.READY, ProgramStatus.PAUSED))
    return {digest: index_parse(bytes(content)) for digest, content in held.values_list("digest", "index_bytes")}


def programs_needed(*, nodes: Sequence[Node], in_force: dict[str, ReleaseIndex]) -> list[CarriedRelease]:
    """Return the programs that some node is to run and does not say that it runs, in the forms that they have there.

    A node that has not said its form is lean: it has never had another program than that of before forms.
    """
    words = Directive.objects.filter(node__in=nodes).exclude(program="").values_list("node", "program")
    standing = {each.node_id: each for each in ProgramStanding.objects.filter(node__in=nodes)}
    needed: dict[str, set[str]] = {}
    for node, program in words:
        here = standing.get(node)
        if program in in_force and (here is None or here.version != in_force[program].title):
            needed.setdefault(program, set()).update(_forms(in_force[program], here.form if here else ""))
    return [
        CarriedRelease(index=in_force[digest], files=_files(in_force[digest], forms))
        for digest, forms in sorted(needed.items())
    ]


def _forms(index: ReleaseIndex, form: str) -> Collection[str]:
    if form in variant_names(index):
        return (form,)
    return [each for each in variant_names(index) if not is_learning(each)]


def releases_needed(*, nodes: Sequence[Node], in_force: dict[str, ReleaseIndex]) -> list[CarriedRelease]:
    """Return the releases that some node is to run but does not have, in the assigned variants, bases first."""
    directives = Directive.objects.filter(node__in=nodes).values_list("node", "release", "variant")
    wanted = {node: (release, variant) for node, release, variant in directives}
    # Also of what was withdrawn since: a node that runs it has its base on the disk.
    bases = dict(Release.objects.exclude(digest="").values_list("digest", "base__digest"))
    needed: dict[str, set[str]] = {}
    for node in nodes:
        release, variant = wanted.get(node.pk, ("", ""))
        for digest in _with_base(release, bases) - _with_base(node.running, bases):
            if digest in in_force:
                needed.setdefault(digest, set()).add(variant)
    carried = (
        CarriedRelease(index=in_force[digest], files=_files(in_force[digest], variants))
        for digest, variants in needed.items()
    )
    return sorted(carried, key=lambda release: (release.index.base is not None, release.index.version))


def _files(index: ReleaseIndex, variants: Collection[str]) -> tuple[FileEntry, ...]:
    if not index.variants:
        return index_files_all(index)
    return tuple(entry for name in sorted(variants) for entry in index_files(index, name))


def _with_base(digest: str, bases: Mapping[str, str | None]) -> set[str]:
    return {digest, bases.get(digest) or digest}

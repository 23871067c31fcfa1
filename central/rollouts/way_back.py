"""What a node goes back to whose release was withdrawn: reads, and changes nothing.

1. The newest of those that it ran before a rollout came to it and that are still in force: it has proved itself there.
2. Where there is none, the base of the withdrawn adapter.
3. Where that is withdrawn too, nothing: a school is never left without a model, and runs on until another is offered.
"""

from __future__ import annotations

from central.releases.models import Release, ReleaseStatus
from central.schools.models import Node


def way_back(*, node: Node) -> Release | None:
    """Return what takes the place of the withdrawn release that `node` runs; or None."""
    withdrawn = Release.objects.filter(status=ReleaseStatus.REVOKED).exclude(digest="")
    running = withdrawn.filter(digest=node.running).select_related("base").first()
    if running is None:
        return None
    ran_before = node.assignments.exclude(previous_release="").order_by("-pk")
    wanted = [*ran_before.values_list("previous_release", flat=True), running.base.digest if running.base else ""]
    found = {each.digest: each for each in Release.objects.in_force().filter(digest__in=wanted).select_related("base")}
    return next((found[digest] for digest in wanted if digest in found), None)

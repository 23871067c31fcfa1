"""What became of every update and correction of a play, by the schools' own papers and the centre's tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from central.releases.models import ReleaseStatus
from central.training.models import KEPT, Round, Update, UpdateStatus
from tests.country.pc import Pc
from tests.country.play import Play
from tests.country.rhythms import DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The figures of a play."""

    lost: int
    """Updates that a school let go and that no version has, nor a round that goes on."""
    doubled: int
    """Updates that count twice, or beside another of the same school for the same plan."""
    made: int
    accepted: int
    refused: int
    in_refused_candidates: int
    """The gate refused what they led to: the season goes on without them, as it says."""
    versions: int
    leases_refused: int
    share_by_region: dict[str, float]
    """Accepted updates a school there, over those a school in the whole country."""
    days_to_release: list[float]
    """From each correction to the signature of the first adapter that has learnt it."""


def tally(play: Play) -> Tally:
    """Return what a finished play comes to."""
    accepted = {update.digest: update.round_id for update in Update.objects.filter(status=UpdateStatus.ACCEPTED)}
    refused = set(Round.objects.filter(release__status=ReleaseStatus.REFUSED).values_list("pk", flat=True))
    done = set(Round.objects.exclude(version=None).values_list("pk", flat=True))
    versions = versions_of_updates()
    return Tally(
        lost=sum(_lost(pc, accepted, versions, done) for pc in play.pcs),
        doubled=_doubled(versions),
        made=sum(len(pc.finished) for pc in play.pcs),
        accepted=len(accepted),
        refused=Update.objects.filter(status=UpdateStatus.REFUSED).count(),
        in_refused_candidates=sum(round_id in refused for round_id in accepted.values()),
        versions=Round.objects.exclude(version=None).count(),
        leases_refused=sum(pc.leases_refused for pc in play.pcs),
        share_by_region=_share_by_region(play.pcs, accepted),
        days_to_release=_days(play, versions),
    )


def versions_of_updates() -> dict[str, list[int]]:
    """Return by update the versions of the season that add it: one each, if all is well."""
    found: dict[str, list[int]] = defaultdict(list)
    for round_ in Round.objects.exclude(version=None).select_related("release").order_by("version"):
        for digest in round_.release.contributions:
            found[digest].append(round_.version)
    return found


def _lost(pc: Pc, accepted: Mapping[str, int | None], versions: Mapping[str, list[int]], done: Collection[int]) -> int:
    waiting = {update.sha256 for update in pc.waiting}
    lost = 0
    for digest in pc.finished.keys() - waiting:
        receipt = pc.receipts.get(digest)
        if receipt is None:
            lost += 1
        elif receipt.accepted:
            round_id = accepted.get(digest)
            lost += round_id is None or (round_id in done and digest not in versions)
    return lost


def _doubled(versions: Mapping[str, list[int]]) -> int:
    answers = list(Update.objects.filter(status__in=KEPT).values_list("plan", "node"))
    return sum(len(those) - 1 for those in versions.values()) + len(answers) - len(set(answers))


def _share_by_region(pcs: Sequence[Pc], accepted: Mapping[str, int | None]) -> dict[str, float]:
    schools = Counter(pc.place.region for pc in pcs)
    updates = Counter(pc.place.region for pc in pcs for digest in pc.finished if digest in accepted)
    mean = sum(updates.values()) / sum(schools.values())
    return {region: updates[region] / count / mean for region, count in schools.items()}


def _days(play: Play, versions: Mapping[str, list[int]]) -> list[float]:
    return sorted(
        (play.centre.adopted[versions[digest][0] - 1][0] - made_at) / DAY
        for pc in play.pcs
        for digest, fresh in pc.finished.items()
        if digest in versions
        for made_at in fresh
    )

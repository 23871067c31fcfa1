"""Keeps a SuperLink in step with the tables: nodes registered, revoked ones unregistered, one run a collecting round.

Each call starts a program of Flower's own and takes a second or two; what fails is tried again by the next sweep.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from itertools import islice

from central.disk import CentreDisk
from central.schools.keys import key_fleet_forget
from central.schools.models import Node, NodeStatus, RetiredKey
from central.schools.services import node_fleet_record
from central.superlinks import SuperLinkSite, superlink_of
from central.training import superlink
from central.training.models import FlowerRun, Round, RoundStatus, SeasonStatus
from central.training.rounds import schools_counted
from central.training.superlink import SuperLinkUnreachable
from federation.errors import FederationError

LOGGER = logging.getLogger(__name__)
NODES_A_SWEEP = 20


def fleet_advance(*, site: SuperLinkSite, disk: CentreDisk, now: datetime) -> None:
    """Register, unregister and start what is due, a few nodes at a time; a SuperLink that is away is left alone."""
    try:
        _advance(site, disk, now)
    except SuperLinkUnreachable as error:
        LOGGER.warning("the SuperLink is away and is tried again later: %s", error)


def runs_forget(*, sites: Iterable[SuperLinkSite]) -> int:
    """Forget the runs of SuperLinks that are about to be started, and return how many: the next sweep starts new ones.

    Their ServerApps ended with the centre that ran before. Flower itself would say so only a minute later.
    """
    return FlowerRun.objects.filter(superlink__in=[site.name for site in sites]).delete()[0]


def runs_check(*, site: SuperLinkSite, disk: CentreDisk) -> None:
    """Forget runs that ended without a record, so that the next sweep starts them again.

    Raises:
        SuperLinkUnreachable: nothing can be known now.
    """
    for run in FlowerRun.objects.filter(superlink=site.name).select_related("round"):
        _tried(f"looking at the run of {run.round.round_id}", partial(_run_check, run, site, disk))


def _advance(site: SuperLinkSite, disk: CentreDisk, now: datetime) -> None:
    nodes = Node.objects.select_related("school")
    new = _of_site(site, nodes.filter(status=NodeStatus.ACTIVE, flwr_node_id="").iterator())
    for node in islice(new, NODES_A_SWEEP):
        _tried(f"registering node {node.pk}", partial(_register, node, site, disk))
    for node in _of_site(site, nodes.filter(status=NodeStatus.REVOKED).exclude(flwr_node_id="")):
        _tried(f"unregistering node {node.pk}", partial(_unregister, node, site, disk))
    for key in RetiredKey.objects.exclude(flwr_node_id="").select_related("node__school"):
        if superlink_of(key.node.school.region).name == site.name:
            _tried(f"unregistering key {key}", partial(_key_unregister, key, site, disk))
    for run in FlowerRun.objects.filter(superlink=site.name).select_related("round__season"):
        _run_follow(run, disk)
    collecting = Round.objects.filter(status=RoundStatus.COLLECTING, season__status=SeasonStatus.OPEN)
    for round_ in collecting.exclude(runs__superlink=site.name).select_related("season"):
        _tried(f"starting a run of {round_.round_id}", partial(_run_start, round_, site, disk, now))


def _of_site(site: SuperLinkSite, nodes: Iterable[Node]) -> Iterable[Node]:
    return (node for node in nodes if superlink_of(node.school.region).name == site.name)


def _tried(what: str, call: Callable[[], None]) -> None:
    try:
        call()
    except SuperLinkUnreachable:
        raise
    except FederationError as error:
        LOGGER.warning("%s failed and is tried again later: %s", what, error)


def _register(node: Node, site: SuperLinkSite, disk: CentreDisk) -> None:
    flwr_node_id = superlink.node_register(
        root=site.root(disk), port=site.port, node_id=str(node.pk), public_pem=node.public_key.encode()
    )
    node_fleet_record(node=node, flwr_node_id=flwr_node_id)


def _unregister(node: Node, site: SuperLinkSite, disk: CentreDisk) -> None:
    superlink.node_unregister(root=site.root(disk), port=site.port, flower_node_id=node.flwr_node_id)
    node_fleet_record(node=node, flwr_node_id="")


def _key_unregister(key: RetiredKey, site: SuperLinkSite, disk: CentreDisk) -> None:
    superlink.node_unregister(root=site.root(disk), port=site.port, flower_node_id=key.flwr_node_id)
    key_fleet_forget(key=key)


def _run_start(round_: Round, site: SuperLinkSite, disk: CentreDisk, now: datetime) -> None:
    folder = disk.inbox / round_.round_id
    # Updates that were refused, or came by another way too, lie there as well; the run is to bring what is missing.
    lying = len(list(folder.glob("*.update*"))) if folder.is_dir() else 0
    missing = round_.wanted - schools_counted(round_)
    run_id = superlink.run_start(
        root=site.root(disk),
        port=site.port,
        season_id=round_.season.season_id,
        round_id=round_.round_id,
        inbox=disk.inbox,
        # A round that is full, and waits for the candidate before it, goes on filling.
        wanted=lying + (missing if missing > 0 else round_.wanted),
        duration_seconds=max((round_.closes_at - now).total_seconds(), 1.0),
    )
    FlowerRun.objects.update_or_create(round=round_, superlink=site.name, defaults={"flwr_run_id": run_id})


def _run_follow(run: FlowerRun, disk: CentreDisk) -> None:
    """Forget a run that has left its record, and ask the run of a round that collects no longer to end."""
    folder, round_ = disk.inbox / run.round.round_id, run.round
    is_wanted = round_.status == RoundStatus.COLLECTING and round_.season.status == SeasonStatus.OPEN
    if _has_ended(run, disk):
        run.delete()
    elif not is_wanted and folder.is_dir():
        (folder / "close").touch()


def _has_ended(run: FlowerRun, disk: CentreDisk) -> bool:
    """Tell whether the run has left its record; `runs_check` finds those that were cut."""
    return (disk.inbox / run.round.round_id / f"run-{run.flwr_run_id}.json").exists()


def _run_check(run: FlowerRun, site: SuperLinkSite, disk: CentreDisk) -> None:
    status = superlink.run_status(root=site.root(disk), port=site.port, run_id=run.flwr_run_id)
    if status.is_finished:
        run.delete()

"""Keeps the SuperLink in step with the tables: nodes registered, revoked ones unregistered, one run a collecting round.

Each call starts a program of Flower's own and takes a second or two; what fails is tried again by the next sweep.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from central.disk import CentreDisk
from central.schools.keys import key_fleet_forget
from central.schools.models import Node, NodeStatus, RetiredKey
from central.schools.services import node_fleet_record
from central.training import superlink
from central.training.models import Round, RoundStatus, UpdateStatus
from central.training.superlink import SuperLinkUnreachable
from federation.errors import FederationError
from federation.trust.durable import durable_write

LOGGER = logging.getLogger(__name__)
LONGEST_ROUND = timedelta(days=60)
NODES_A_SWEEP = 20


def fleet_advance(*, disk: CentreDisk, port: int, now: datetime) -> None:
    """Register, unregister and start what is due, a few nodes at a time; a SuperLink that is away is left alone."""
    try:
        _advance(disk, port, now)
    except SuperLinkUnreachable as error:
        LOGGER.warning("the SuperLink is away and is tried again later: %s", error)


def _advance(disk: CentreDisk, port: int, now: datetime) -> None:
    for node in Node.objects.filter(status=NodeStatus.ACTIVE, flwr_node_id="")[:NODES_A_SWEEP]:
        _tried(f"registering node {node.pk}", partial(_register, node, disk, port))
    for node in Node.objects.filter(status=NodeStatus.REVOKED).exclude(flwr_node_id=""):
        _tried(f"unregistering node {node.pk}", partial(_unregister, node, disk, port))
    for key in RetiredKey.objects.exclude(flwr_node_id=""):
        _tried(f"unregistering key {key}", partial(_key_unregister, key, disk, port))
    for round_ in Round.objects.filter(status=RoundStatus.COLLECTING):
        if not round_.flwr_run_id or _run_has_ended(round_, disk):
            _tried(f"starting the run of {round_.plan_id}", partial(_run_start, round_, disk, port, now))
    for round_ in Round.objects.exclude(status=RoundStatus.COLLECTING).filter(opened_at__gt=now - LONGEST_ROUND):
        _close_ask(round_, disk)


def _tried(what: str, call: Callable[[], None]) -> None:
    try:
        call()
    except SuperLinkUnreachable:
        raise
    except FederationError as error:
        LOGGER.warning("%s failed and is tried again later: %s", what, error)


def _register(node: Node, disk: CentreDisk, port: int) -> None:
    flwr_node_id = superlink.node_register(
        root=disk.superlink, port=port, node_id=str(node.pk), public_pem=node.public_key.encode()
    )
    node_fleet_record(node=node, flwr_node_id=flwr_node_id)


def _unregister(node: Node, disk: CentreDisk, port: int) -> None:
    superlink.node_unregister(root=disk.superlink, port=port, flower_node_id=node.flwr_node_id)
    node_fleet_record(node=node, flwr_node_id="")


def _key_unregister(key: RetiredKey, disk: CentreDisk, port: int) -> None:
    superlink.node_unregister(root=disk.superlink, port=port, flower_node_id=key.flwr_node_id)
    key_fleet_forget(key=key)


def _run_start(round_: Round, disk: CentreDisk, port: int, now: datetime) -> None:
    plan_file = _plan_file(round_, disk)
    plan_file.parent.mkdir(parents=True, exist_ok=True)
    durable_write(plan_file, bytes(round_.plan_envelope))
    # A refused update's file still counts as collected, so the run must want so many more.
    refused = round_.updates.filter(status=UpdateStatus.REFUSED).values("node").distinct().count()
    run_id = superlink.run_start(
        root=disk.superlink,
        port=port,
        plan_id=round_.plan_id,
        plan_file=plan_file,
        inbox=disk.inbox,
        wanted=round_.wanted + refused,
        duration_seconds=max((round_.closes_at - now).total_seconds(), 1.0),
    )
    Round.objects.filter(pk=round_.pk).update(flwr_run_id=run_id)


def _run_has_ended(round_: Round, disk: CentreDisk) -> bool:
    """Tell whether the round's present run has left its record; `runs_check` finds those that were cut."""
    try:
        record = json.loads((disk.inbox / round_.plan_id / "run.json").read_bytes())
    except FileNotFoundError:
        return False
    return isinstance(record, dict) and record.get("run_id") == round_.flwr_run_id


def runs_check(*, disk: CentreDisk, port: int) -> None:
    """Forget runs that ended without a record, so that the next sweep starts them again.

    Raises:
        SuperLinkUnreachable: nothing can be known now.
    """
    for round_ in Round.objects.filter(status=RoundStatus.COLLECTING).exclude(flwr_run_id=""):
        _tried(f"looking at the run of {round_.plan_id}", partial(_run_check, round_, disk, port))


def _run_check(round_: Round, disk: CentreDisk, port: int) -> None:
    status = superlink.run_status(root=disk.superlink, port=port, run_id=round_.flwr_run_id)
    if status.is_finished:
        Round.objects.filter(pk=round_.pk, flwr_run_id=round_.flwr_run_id).update(flwr_run_id="")


def _close_ask(round_: Round, disk: CentreDisk) -> None:
    folder = disk.inbox / round_.plan_id
    if folder.is_dir():
        (folder / "close").touch()


def _plan_file(round_: Round, disk: CentreDisk) -> Path:
    return disk.training / "plans" / f"{round_.plan_id}.json"

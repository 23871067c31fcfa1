"""A finished update as a school's trainer leaves it, without the hours that a trainer takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from django.utils import timezone

from federation.learning.update import update_write
from federation.trust.envelopes import SESSION, envelope_seal
from federation.trust.keys import public_key_load
from federation.trust.tuf_client import trusted_read
from federation.wire.canonical import canonical_bytes, sha256_hex
from federation.wire.enrolment import SessionRequest
from federation.wire.rounds import Factor
from node.installed.hardware import GAUGES
from node.rounds.models import LocalUpdate
from node.rounds.services import plan_document, plan_receive, update_path
from node.sync.client import CentreClient
from node.sync.enrol import enrolment_read, node_key
from node.sync.services import check_in_document
from node.sync.transport import http_client


def update_learn(root: Path, *, base: str, widths: Mapping[str, int]) -> str:
    """Leave an update to the plan that the centre has for a PC that runs `base`; return its SHA-256.

    `widths` are how many rows each slot's matrix has.
    """
    enrolment, key, now = enrolment_read(root), node_key(root), timezone.now()
    http, _counter = http_client()
    with http:
        client = CentreClient(http=http, base_url=enrolment.central_url)
        wish = SessionRequest(node_id=enrolment.node_id, nonce=client.nonce(node_id=enrolment.node_id).nonce)
        client.session_open(envelope_seal(payload=canonical_bytes(wish), kind=SESSION, key=key))
        said = check_in_document(root=root, node_id=enrolment.node_id, gauges=GAUGES, now=now)
        answer = client.check_in(replace(said, running=base, capabilities=("chat", "train")))
    assert answer.round_plan is not None
    director_key = public_key_load(trusted_read(root / "tuf").director_key)
    plan = plan_receive(envelope=answer.round_plan, director_key=director_key, now=now)
    document, counter = plan_document(plan), LocalUpdate.objects.count() + 1
    content = update_write(
        plan=document,
        node_id=enrolment.node_id,
        counter=counter,
        labels=2,
        steps=1,
        loss_before=3.0,
        loss_after=1.0,
        arrays={(slot, Factor.B): np.full((document.rank, widths[slot]), 0.1, np.float32) for slot in document.slots},
        made_at=now,
        key=key,
    )
    update = LocalUpdate.objects.create(
        plan=plan,
        counter=counter,
        status=LocalUpdate.Status.READY,
        sha256=sha256_hex(content),
        size_bytes=len(content),
        started_at=now,
    )
    path = update_path(root=root, update=update)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return update.sha256

"""What a node whose key was withdrawn can still do at the centre: nothing, from the same moment on.

Attacks on a school are in tests/node/test_attacks.py.
"""

import httpx
import pytest
from django.utils import timezone

from central.feedback.models import ReceivedParcel
from central.releases.blob_store import DiskStore
from central.schools.models import Node, SessionToken
from central.schools.services import node_revoke, node_suspend
from central.training.models import Lease
from federation.trust.blob_sources import HttpBlobSource
from federation.trust.envelopes import PARCELS, envelope_seal
from federation.trust.errors import BlobUnavailable
from federation.wire.canonical import canonical_bytes
from node.sync.client import CentreClient
from node.sync.errors import SessionRefused
from tests.central.school import rating_parcel
from tests.central.seasons import season_small

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("withdraw", [node_revoke, node_suspend])
def test_a_key_withdrawn_in_mid_session_ends_the_session_at_every_door(
    withdraw, school, other_school, disk, tmp_path, live_server
):
    (tmp_path / "source").write_bytes(b"weights" * 100_000)
    blob = DiskStore(disk.blobs).put(tmp_path / "source")
    season = season_small()
    node = Node.objects.get(pk=school.node_id)
    with httpx.Client(headers={"Authorization": f"Bearer {school.token}"}) as http:
        client = CentreClient(http=http, base_url=live_server.url)
        source = HttpBlobSource(client=http, base_url=live_server.url)
        assert len(b"".join(source.read_range(blob.sha256, 0, 1000))) == 1000
        assert client.lease_ask(plan_id=season.plans.get().plan_id).granted
        withdraw(node=node, actor="admin", reason="stolen", now=timezone.now())
        with pytest.raises(BlobUnavailable) as refused:
            list(source.read_range(blob.sha256, 1000, 1000))
        assert refused.value.fields["status"] == 401
        with pytest.raises(SessionRefused):
            client.lease_ask(plan_id=season.plans.get().plan_id)
        with pytest.raises(SessionRefused):
            client.parcels_send(envelope_seal(payload=canonical_bytes({}), kind=PARCELS, key=school.key))
    assert school.send_parcels(rating_parcel(1)).status_code == 401
    assert not ReceivedParcel.objects.exists()
    assert not SessionToken.objects.filter(node=node).exists()
    assert not Lease.objects.exists()
    assert not season.rounds.get().updates.exists()
    assert school.post("nonces", canonical_bytes({"node_id": school.node_id}), signed_in=False).status_code == 403
    assert other_school.receipt(rating_parcel(1)).acknowledged_seq == 1

"""A round by stick alone: the plan comes, the update goes, the receipt comes back and the file goes."""

import numpy as np
import pytest

from central import trust_root
from central.training.models import Update, UpdateStatus
from central.training.plan_settings import PlanSettings
from central.training.seasons import season_close, season_open
from central.training.services import update_take_in
from federation.basis import SlotSize
from federation.learning.update import update_write
from federation.wire.canonical import sha256_hex
from federation.wire.contributions import LIST_NAME, Part, list_write
from federation.wire.rounds import Factor
from node.installed.services import trial_commit
from node.rounds.models import LocalUpdate, Plan
from node.rounds.services import plan_document, update_path
from node.sync.enrol import enrolment_read, node_key

SIZES = {"layers.0.qkv": SlotSize(4, 6), "layers.0.o": SlotSize(4, 4)}


@pytest.fixture
def season(centre, enrolled, stick, package):
    """A season whose plan has come by stick, to a school that runs its base and has said so."""
    release = centre.publish(package)
    centre.roll_out(release)
    centre.export(stick)
    enrolled.bring_in(stick)
    trial_commit(root=enrolled.root, now=enrolled.clock())
    opened = season_open(
        base=release,
        slot_sizes=SIZES,
        wanted=2,
        key=trust_root.director_key(),
        actor="test",
        now=centre.clock(),
        settings=PlanSettings(rank=2, parts=("qkv", "o"), max_norm=10.0, server_scale=1.0),
    )
    enrolled.write_out(stick)
    centre.take_in(stick)
    centre.export(stick)
    assert enrolled.bring_in(stick).has_plan
    return opened


def learnt(school):
    """Leave a finished update as the trainer does, and return its bytes."""
    plan = Plan.objects.get()
    arrays = {(slot, Factor.B): np.full((2, size.d_out), 0.1, np.float32) for slot, size in SIZES.items()}
    content = update_write(
        plan=plan_document(plan),
        node_id=enrolment_read(school.root).node_id,
        counter=1,
        labels=2,
        steps=5,
        loss_before=3.0,
        loss_after=0.1,
        arrays=arrays,
        made_at=school.clock(),
        key=node_key(school.root),
    )
    path = update_path(root=school.root, update=LocalUpdate(plan=plan, counter=1))
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    LocalUpdate.objects.create(
        plan=plan, counter=1, status="ready", sha256=sha256_hex(content), started_at=school.clock()
    )
    return content


def test_an_update_goes_by_stick_and_only_its_receipt_lets_the_school_drop_it(
    centre, enrolled, stick, season, django_capture_on_commit_callbacks
):
    content = learnt(enrolled)
    path = update_path(root=enrolled.root, update=LocalUpdate.objects.get())
    assert enrolled.write_out(stick).updates == 1
    assert centre.take_in(stick).problems == []
    assert Update.objects.get().status == UpdateStatus.ACCEPTED
    assert path.read_bytes() == content

    centre.export(stick)
    with django_capture_on_commit_callbacks(execute=True):
        outcome = enrolled.bring_in(stick)

    assert (outcome.updates_settled, outcome.has_plan, outcome.failures) == (1, False, ())
    assert LocalUpdate.objects.get().status == LocalUpdate.Status.ACCEPTED
    assert not path.exists()
    assert enrolled.write_out(stick).updates == 0


def test_an_update_that_also_came_by_link_is_one_update(centre, enrolled, stick, season):
    update_take_in(content=learnt(enrolled), disk=centre.disk, now=centre.clock())
    enrolled.write_out(stick)
    assert centre.take_in(stick).problems == []
    assert centre.take_in(stick).problems == []
    assert Update.objects.count() == 1


def test_an_update_that_comes_after_the_season_is_refused_by_a_receipt(centre, enrolled, stick, season):
    learnt(enrolled)
    enrolled.write_out(stick)
    season_close(season=season, reason="test", actor="test", now=centre.clock())
    assert centre.take_in(stick).problems == []
    centre.export(stick)
    assert enrolled.bring_in(stick).updates_settled == 1
    held = LocalUpdate.objects.get()
    assert (held.status, held.error_code) == (LocalUpdate.Status.REFUSED, "season_closed")


def test_an_update_whose_file_was_damaged_stays_at_the_school(centre, enrolled, stick, season):
    learnt(enrolled)
    path = update_path(root=enrolled.root, update=LocalUpdate.objects.get())
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert enrolled.write_out(stick).updates == 0
    centre.take_in(stick)
    assert Update.objects.count() == 0
    assert LocalUpdate.objects.get().status == LocalUpdate.Status.READY


def test_a_stick_tells_a_school_in_which_release_its_update_shipped_though_it_skipped_that_one(
    centre, enrolled, stick, season, tmp_path
):
    sent = sha256_hex(learnt(enrolled))
    enrolled.write_out(stick)
    centre.take_in(stick)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter.bin").write_bytes(b"factors")
    parts = [Part(version=2, updates=(sent, "0" * 64)), Part(version=3, updates=("1" * 64,))]
    (adapter / LIST_NAME).write_bytes(list_write(parts))
    centre.roll_out(centre.publish(adapter, base=season.base))
    centre.export(stick)
    assert enrolled.bring_in(stick).failures == ()
    assert LocalUpdate.objects.get().release_version == 2

"""What somebody between school and centre, or with a stolen key, can do to a school: each attack, and what stays.

The real node client meets a centre over real HTTP whose files the attacker rewrites. After each refusal the node's
trusted metadata, its releases, the pointer to what runs and the assignment that it follows are what they were.
Attacks on the centre's doors stand beside them: tests/central/test_attacks.py.
"""

import json
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.template.loader import render_to_string
from django.utils import timezone, translation

from federation.trust.envelopes import ROUND_PLAN, envelope_seal
from federation.trust.key_files import key_file_look
from federation.trust.keys import director_key_create, director_key_load
from federation.trust.release_bytes import INDEX_NAME, index_digest
from federation.trust.tuf_files import RepositoryFiles
from federation.trust.tuf_publisher import (
    offline_key_path,
    target_publish,
    timestamp_refresh,
)
from federation.trust.tuf_roles import key_revoke, key_rotate, roles_read
from federation.wire.canonical import canonical_bytes
from federation.wire.enrolment import Fleet
from federation.wire.sheet import Sheet
from node.installed.services import active_release
from node.installed.state import Phase, Slots, slots_write
from node.rounds.models import LocalUpdate, Plan
from node.rounds.services import update_path
from node.status import status_read
from node.sync.enrol import enrolment_read, sheet_enrol
from node.sync.errors import CentreRefused
from node.sync.models import SeenAssignment, SyncLog
from node.sync.services import Contact, ContactTimes
from node.sync.transport import http_client
from tests.simulators import round_plan

pytestmark = pytest.mark.django_db
NO_WAITING = ContactTimes(trial_seconds=0, poll_seconds=0.01, delivery_poll_seconds=0.2)
MORE_THAN_ANY_FILE = 40 * 1024 * 1024


@pytest.fixture
def school(root, centre, tmp_path):
    """A school that runs release 1, follows the assignment 5, and has heard the centre today."""
    centre.claim_codes["CODE123456"] = "Мактаби №1"
    sheet = Sheet(code="CODE123456", root_sha256=centre.fingerprint, authority_sha256="", address=centre.url)
    sheet_enrol(root=root, sheet=sheet)
    index = centre.publish(package(tmp_path, "one"))
    digest = index_digest(index)
    shutil.copytree(tmp_path / "one", root / "releases" / digest)
    (root / "releases" / digest / INDEX_NAME).write_bytes(canonical_bytes(index))
    slots_write(root, Slots(current=digest, phase=Phase.COMMITTED))
    assign(root, centre, 5, None)
    assert contact(root) == {}
    return root


def package(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "card.json").write_text(name)
    return folder


def assign(root, centre, sequence, release):
    centre.assign(node_id=enrolment_read(root).node_id, sequence=sequence, release=release)


def contact(root, *, now=None):
    """Hold a contact and return the codes of the steps that failed."""
    http, counter = http_client()
    clock = timezone.now if now is None else lambda: now
    with http:
        report = Contact(root=root, http=http, counter=counter, clock=clock, times=NO_WAITING).hold()
    return {step: error.code for step, error in report.failures.items()}


def standing(root):
    """Return all that an attack must leave as it was."""
    kept = [root / "state.json", root / "tuf" / "metadata" / "targets.json"]
    kept += [path for folder in ("releases", "tuf/indexes") for path in (root / folder).rglob("*") if path.is_file()]
    downloads = sorted(path.name for path in (root / "downloads").rglob("*") if path.is_file())
    seen = SeenAssignment.objects.get()
    trusted = json.loads((root / "tuf" / "trusted.json").read_bytes())
    # The director's signed time of each session raises it, whatever else is refused.
    del trusted["time_floor"]
    return {path: path.read_bytes() for path in kept}, trusted, downloads, seen.sequence, bytes(seen.envelope)


def metadata_of(centre):
    return centre.tuf / "metadata"


def stolen(centre, tmp_path):
    """Return a copy of the centre's whole disk, all keys included, as of now."""
    thief = tmp_path / "thief"
    shutil.copytree(centre.tuf, thief / "tuf")
    shutil.copytree(centre.keys, thief / "keys")
    return {"root": thief / "tuf", "keys": thief / "keys"}


def served_instead(centre, folder):
    """Let the school get these files for the centre's own, as whoever holds the link can do."""
    for path in folder.iterdir():
        shutil.copy(path, metadata_of(centre) / path.name)


def test_rollback_an_older_list_of_releases_is_refused_whatever_the_clock_says(school, centre, tmp_path):
    old = shutil.copytree(metadata_of(centre), tmp_path / "old")
    centre.publish(package(tmp_path, "two"))
    contact(school)
    before = standing(school)
    shutil.rmtree(metadata_of(centre))
    shutil.copytree(old, metadata_of(centre))
    for now in (None, datetime(1970, 1, 1, tzinfo=UTC)):
        assert contact(school, now=now) == {"metadata": "metadata_rolled_back"}
    assert standing(school) == before


def test_freeze_an_expired_timestamp_stops_installs_and_not_the_model(school, centre, tmp_path):
    two = index_digest(centre.publish(package(tmp_path, "two")))
    contact(school)
    assign(school, centre, 6, two)
    before, late = standing(school), timezone.now() + timedelta(days=40)
    centre.clock = lambda: late
    assert contact(school, now=late) == {"metadata": "metadata_expired"}
    assert standing(school) == before
    assert not any(two in request for request in centre.requests)
    running = active_release(root=school)
    assert (running.index.title, status_read(root=school, now=late).running) == ("one", running.digest)
    status = status_read(root=school, now=late)
    assert (status.is_metadata_expired, (late - status.metadata_at).days) == (True, 40)
    with translation.override("en"):
        assert "too old to install anything new" in render_to_string("node/status.html", {"status": status})
    timestamp_refresh(root=centre.tuf, keys=centre.keys, now=late)
    assert "metadata" not in contact(school, now=late)
    assert not status_read(root=school, now=late).is_metadata_expired


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_mix_and_match_files_of_two_lists_of_releases_are_refused(school, centre, tmp_path, role):
    before = standing(school)
    centre.publish(package(tmp_path, "two"))
    # All are the centre's own and well signed; only they were never in force together.
    *_, one, two = RepositoryFiles(centre.tuf).versions(role)
    shutil.copy(metadata_of(centre) / f"{one}.{role}.json", metadata_of(centre) / f"{two}.{role}.json")
    assert contact(school) == {"metadata": "metadata_rolled_back"}
    assert standing(school) == before


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "root"])
def test_endless_metadata_is_cut_off_at_its_limit_and_refused(school, centre, tmp_path, role):
    centre.publish(package(tmp_path, "two"))
    before = standing(school)
    names = {"timestamp": "timestamp.json", "root": "2.root.json"}
    newest = max(RepositoryFiles(centre.tuf).versions(role), default=0)
    centre.endless = f"/tuf/metadata/{names.get(role, f'{newest}.{role}.json')}"
    assert contact(school) == {"metadata": "metadata_damaged"}
    assert centre.endless_bytes < MORE_THAN_ANY_FILE
    assert standing(school) == before


@pytest.mark.parametrize("path", ["/tuf/targets/", "/blobs/"])
def test_endless_indexes_and_files_are_cut_off_and_nothing_of_them_is_installed(school, centre, tmp_path, path):
    two = index_digest(centre.publish(package(tmp_path, "two")))
    assign(school, centre, 6, two)
    releases = sorted(each.name for each in (school / "releases").iterdir())
    pointer = (school / "state.json").read_bytes()
    centre.endless = path
    assert contact(school) == {"install": "metadata_damaged" if "targets" in path else "chunk_mismatch"}
    assert centre.endless_bytes < MORE_THAN_ANY_FILE
    assert sorted(each.name for each in (school / "releases").iterdir()) == releases
    assert (school / "state.json").read_bytes() == pointer


def test_an_endless_answer_to_a_check_in_is_cut_off(school, centre):
    before = standing(school)
    centre.endless = "/api/v1/check-ins"
    with pytest.raises(Exception, match="malformed_document"):
        contact(school)
    assert centre.endless_bytes < MORE_THAN_ANY_FILE
    assert standing(school) == before


def test_a_tampered_chunk_is_refused_and_nothing_of_the_release_is_installed(school, centre, tmp_path):
    index = centre.publish(package(tmp_path, "two"))
    (centre.blobs / index.files[0].sha256).write_bytes(b"tWo")
    assign(school, centre, 6, index_digest(index))
    pointer = (school / "state.json").read_bytes()
    assert contact(school) == {"install": "chunk_mismatch"}
    assert not (school / "releases" / index_digest(index)).exists()
    assert (school / "state.json").read_bytes() == pointer
    assert active_release(root=school).index.title == "one"


def test_metadata_by_a_key_that_the_root_does_not_name_is_refused(school, centre, tmp_path):
    before = standing(school)
    thief = stolen(centre, tmp_path)
    for path in (thief["keys"] / "online").iterdir():
        path.unlink()
    for role in ("timestamp", "snapshot"):
        director_key_create(thief["keys"] / "online" / f"{role}.pem")
    plain = json.loads((thief["root"] / "metadata" / "1.root.json").read_bytes())
    for role in ("timestamp", "snapshot"):
        key = key_file_look(thief["keys"] / "online" / f"{role}.pem")
        old = plain["signed"]["roles"][role]["keyids"][0]
        plain["signed"]["roles"][role]["keyids"] = [key.key_id]
        plain["signed"]["keys"][key.key_id] = plain["signed"]["keys"].pop(old) | {
            "keyval": {"public": key.public.public_bytes_raw().hex()}
        }
    # The thief's own root, unsigned by the ministry, makes the thief's tools sign with the thief's keys.
    (thief["root"] / "metadata" / "1.root.json").write_text(json.dumps(plain))
    target_publish(**thief, path="releases/x.json", content=b"x", now=centre.now)
    served_instead(centre, thief["root"] / "metadata")
    assert contact(school) == {"metadata": "metadata_unsigned"}
    assert standing(school) == before


def test_a_new_root_that_too_few_root_keys_have_signed_is_refused(school, centre, tmp_path):
    before = standing(school)
    thief = stolen(centre, tmp_path)
    # One of the three root keys is stolen, and all others the thief makes up.
    for name in ("root-2", "root-3"):
        offline_key_path(thief["keys"], name).unlink()
    change = key_rotate(**thief, role="targets", now=centre.now)
    assert (change.waiting[0].role, len(change.waiting[0].signed)) == ("root", 1)
    shutil.copy(thief["root"] / "staged" / "root.json", metadata_of(centre) / "2.root.json")
    assert contact(school) == {"metadata": "metadata_unsigned"}
    assert standing(school) == before


def test_a_root_that_skips_a_version_is_refused_and_the_whole_chain_is_followed(school, centre, tmp_path):
    before = standing(school)
    for role in ("timestamp", "snapshot"):
        key_rotate(root=centre.tuf, keys=centre.keys, role=role, now=centre.now)
    chain = shutil.copytree(metadata_of(centre), tmp_path / "chain")
    shutil.copy(chain / "3.root.json", metadata_of(centre) / "2.root.json")
    (metadata_of(centre) / "3.root.json").unlink()
    assert contact(school) == {"metadata": "metadata_rolled_back"}
    assert standing(school) == before
    served_instead(centre, chain)
    assert contact(school) == {}
    history = sorted(path.name for path in (school / "tuf" / "metadata" / "root_history").iterdir())
    assert history == ["1.root.json", "2.root.json", "3.root.json"]


def test_an_expired_root_stops_installs_and_not_the_model(school, centre, tmp_path):
    two = index_digest(centre.publish(package(tmp_path, "two")))
    contact(school)
    assign(school, centre, 6, two)
    before, late = standing(school), timezone.now() + timedelta(days=3651)
    centre.clock = lambda: late
    timestamp_refresh(root=centre.tuf, keys=centre.keys, now=late)
    assert contact(school, now=late) == {"metadata": "metadata_expired"}
    assert standing(school) == before
    assert active_release(root=school).index.title == "one"


def test_a_forged_assignment_is_refused_and_the_one_before_is_followed(school, centre, tmp_path):
    two = index_digest(centre.publish(package(tmp_path, "two")))
    contact(school)
    before, own = standing(school), centre.director
    node_id = enrolment_read(school).node_id
    forgeries = {
        "bad_signature": (director_key_create(tmp_path / "stranger.pem"), node_id, 9, two),
        "assignment_of_other_node": (own, "another", 9, two),
        "assignment_rolled_back": (own, node_id, 4, two),
        "release_not_trusted": (own, node_id, 9, "f" * 64),
    }
    for code, (centre.director, node, sequence, release) in forgeries.items():
        centre.assign(node_id=node, sequence=sequence, release=release)
        assert contact(school) == {"assignment": code}
        assert standing(school) == before
    # A plan's envelope is signed by the director too, and is no assignment.
    centre.assignment = envelope_seal(payload=canonical_bytes(round_plan()), kind=ROUND_PLAN, key=own)
    assert contact(school) == {"assignment": "wrong_kind"}
    assert standing(school) == before


def test_what_a_revoked_directors_key_says_is_refused_and_its_successor_is_believed(school, centre, tmp_path):
    two = index_digest(centre.publish(package(tmp_path, "two")))
    # The thief has the director's key, and counts as high as it will go.
    assign(school, centre, 10**9, None)
    assert contact(school) == {}
    (director,) = [state for state in roles_read(root=centre.tuf, keys=centre.keys) if state.role == "director"]
    change = key_revoke(root=centre.tuf, keys=centre.keys, key=director.keys[0].key_id, now=centre.now)
    before = standing(school)
    assign(school, centre, 10**9 + 1, two)
    centre.plan(round_plan())
    assert contact(school) == {"plan": "bad_signature", "assignment": "bad_signature"}
    after = standing(school)
    assert (after[2:], Plan.objects.count()) == (before[2:], 0)
    assert after[0][school / "state.json"] == before[0][school / "state.json"]
    centre.round_plan, centre.director = None, director_key_load(Path(change.path))
    assign(school, centre, 6, None)
    assert contact(school) == {}
    assert SeenAssignment.objects.get().sequence == 6


def test_what_a_revoked_targets_key_signs_is_refused(school, centre, tmp_path):
    thief = stolen(centre, tmp_path)
    (targets,) = [state for state in roles_read(root=centre.tuf, keys=centre.keys) if state.role == "targets"]
    key_revoke(root=centre.tuf, keys=centre.keys, key=targets.keys[0].key_id, now=centre.now)
    assert contact(school) == {}
    before = standing(school)
    for number in range(3):
        target_publish(**thief, path=f"releases/{number}.json", content=b"x", now=centre.now)
    served_instead(centre, thief["root"] / "metadata")
    assert contact(school) == {"metadata": "metadata_unsigned"}
    assert standing(school) == before


@pytest.mark.slow
def test_a_node_that_is_revoked_in_mid_session_closes_its_supernode_at_once(school, centre):
    pytest.importorskip("flwr", reason="only a PC that learns has a SuperNode")
    enrolment = enrolment_read(school)
    fleet = Fleet(address="127.0.0.1:9", ca_certificate="none")
    (school / "node.json").write_bytes(canonical_bytes(replace(enrolment, fleet=fleet)))
    centre.plan(round_plan())
    contact(school)
    update = LocalUpdate.objects.create(
        plan=Plan.objects.get(), counter=1, status="ready", sha256="a" * 64, started_at=timezone.now()
    )
    file = update_path(root=school, update=update)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"update")
    centre.lease_seconds, centre.check_ins_until_revoked = 40, 2
    before, began = standing(school), time.monotonic()
    assert contact(school) == {"update": "session_refused"}
    assert time.monotonic() - began < centre.lease_seconds / 2
    assert SyncLog.objects.filter(step="update").latest("pk").error_code == "session_refused"
    with pytest.raises(CentreRefused, match="node_unknown"):
        contact(school)
    update.refresh_from_db()
    assert (standing(school), update.status, file.read_bytes()) == (before, "ready", b"update")

"""Keys of TUF's roles over the years: made offline, rotated, revoked, and followed by nodes that slept meanwhile."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from federation.trust.errors import (
    KeyNotInForce,
    KeyNotNeeded,
    KeysTooFew,
    MetadataUnsigned,
    RequestOutdated,
    RequestUnreadable,
    SignaturesMissing,
)
from federation.trust.key_files import (
    PassphraseWrong,
    key_file_create,
    key_file_look,
    key_file_open,
    key_files_find,
    public_file_read,
    public_file_write,
)
from federation.trust.key_sightings import sightings_read, sightings_record
from federation.trust.keys import KeyExists, KeyUnreadable, key_id
from federation.trust.release_bytes import index_digest
from federation.trust.tuf_client import TrustedReleases
from federation.trust.tuf_publisher import (
    ROOT_KEYS,
    director_public,
    offline_key_path,
    online_key_path,
    repository_create,
    root_fingerprint,
    root_metadata_read,
    target_publish,
    targets_read,
    targets_withdraw,
    timestamp_refresh,
)
from federation.trust.tuf_requests import (
    request_export,
    request_import,
    request_proposals,
    request_sign,
    staged_sign,
)
from federation.trust.tuf_roles import (
    changes_waiting,
    key_revoke,
    key_rotate,
    keys_orphaned,
    role_renew,
    roles_read,
)
from tests.trust.conftest import NOW

PASSPHRASE = "шаш ҷуғрофия дар кӯҳ"


def passphrase(_path):
    return PASSPHRASE


@pytest.fixture(scope="module")
def safe_full(tmp_path_factory):
    """The offline keys, made once: stretching a passphrase is slow on purpose, so only two are encrypted."""
    folder = tmp_path_factory.mktemp("safe")
    for name in (*ROOT_KEYS, "targets"):
        key_file_create(folder / f"{name}.pem", passphrase=PASSPHRASE if name in ("root-1", "targets") else "")
    return folder


@pytest.fixture
def safe(safe_full, tmp_path):
    """The offline keys on a stick that the centre never sees."""
    return shutil.copytree(safe_full, tmp_path / "safe")


@pytest.fixture
def ministry(centre, safe, tmp_path):
    """The centre of `centre`, made anew by a ceremony: no offline key was ever on it."""
    shutil.rmtree(centre.root)
    public = tmp_path / "public"
    for name in (*ROOT_KEYS, "targets"):
        public_file_write(key_file_look(safe / f"{name}.pem"), into=public)
    with pytest.raises(SignaturesMissing):
        repository_create(**centre.repository, now=NOW, public=public)
    signed_offline(centre, safe, tmp_path / "stick", "root-2", "root-3", "targets")
    return centre


def signed_offline(centre, safe, stick, *names):
    """Carry what waits to the offline PC, sign it there with each named key, and carry it back."""
    request_export(root=centre.root / "tuf", into=stick)
    for name in names:
        request_sign(request=stick, key=key_file_look(safe / f"{name}.pem"), passphrase=passphrase)
    return request_import(**centre.repository, request=stick, now=NOW)


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def version_of_root(centre):
    return json.loads(root_metadata_read(centre.root / "tuf"))["signed"]["version"]


def test_a_key_file_shows_which_key_it_is_and_opens_only_with_its_passphrase(tmp_path):
    file = key_file_create(tmp_path / "stick" / "root-1.pem", passphrase=PASSPHRASE)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert (file.name, file.is_encrypted) == ("root-1", True)
    assert key_id(key_file_open(file, passphrase=passphrase)) == file.key_id
    with pytest.raises(PassphraseWrong):
        key_file_open(file, passphrase=lambda _path: "another")
    with pytest.raises(KeyExists):
        key_file_create(file.path)
    public = public_file_write(file, into=tmp_path / "public")
    assert b"PRIVATE" not in public.read_bytes()
    assert key_id(public_file_read(public)) == file.key_id
    with pytest.raises(KeyUnreadable):
        key_file_look(public)
    assert key_files_find(tmp_path) == (file,)


def test_a_key_file_whose_halves_are_not_of_one_key_is_refused(tmp_path):
    one, other = (key_file_create(tmp_path / f"{name}.pem") for name in ("one", "other"))
    halves = [path.read_bytes().partition(b"-----BEGIN PRIVATE") for path in (one.path, other.path)]
    one.path.write_bytes(halves[0][0] + b"".join(halves[1][1:]))
    with pytest.raises(KeyUnreadable):
        key_file_open(key_file_look(one.path), passphrase=passphrase)


def test_a_ceremony_makes_a_repository_whose_offline_keys_were_never_on_the_centre(ministry, client, package, tmp_path):
    states = {state.role: state for state in roles_read(root=ministry.root / "tuf", keys=ministry.root / "keys")}
    assert (states["root"].threshold, len(states["root"].keys)) == (2, 3)
    at_hand = {role: [key.file is not None for key in state.keys] for role, state in states.items()}
    assert at_hand == {
        "root": [False] * 3,
        "targets": [False],
        "snapshot": [True],
        "timestamp": [True],
        "director": [True],
        "courier": [True],
    }
    assert not (ministry.root / "keys" / "offline").exists()
    assert ministry.node(tmp_path / "node", client).refresh(now=NOW) == ()


def test_before_the_ceremony_is_over_clients_find_nothing(centre, safe, tmp_path):
    shutil.rmtree(centre.root)
    public = tmp_path / "public"
    for name in (*ROOT_KEYS, "targets"):
        public_file_write(key_file_look(safe / f"{name}.pem"), into=public)
    with pytest.raises(SignaturesMissing):
        repository_create(**centre.repository, now=NOW, public=public)
    waiting = signed_offline(centre, safe, tmp_path / "stick", "root-2", "targets")
    assert [(each.role, each.missing) for each in waiting] == [("root", 1), ("targets", 0)]
    assert list((centre.root / "tuf" / "metadata").iterdir()) == []
    with pytest.raises(SignaturesMissing):
        repository_create(**centre.repository, now=NOW, public=public)
    assert signed_offline(centre, safe, tmp_path / "stick", "root-1") == ()
    assert version_of_root(centre) == 1


def test_one_key_under_two_names_makes_no_root(centre, safe, tmp_path):
    shutil.rmtree(centre.root)
    public = tmp_path / "public"
    for name in (*ROOT_KEYS, "targets"):
        public_file_write(key_file_look(safe / f"{name}.pem"), into=public)
    shutil.copy(public / "root-1.pub.pem", public / "root-2.pub.pem")
    with pytest.raises(KeyUnreadable):
        repository_create(**centre.repository, now=NOW, public=public)
    assert not (centre.root / "tuf" / "staged").exists()


def test_a_release_waits_until_the_targets_key_has_signed_it_elsewhere(ministry, safe, client, package, tmp_path):
    node = ministry.node(tmp_path / "node", client)
    before = everything(ministry.root / "tuf" / "metadata")
    digest = index_digest(ministry.release_publish(package))
    assert everything(ministry.root / "tuf" / "metadata") == before
    assert node.refresh(now=NOW) == ()
    request_export(root=ministry.root / "tuf", into=tmp_path / "stick")
    (proposal,) = request_proposals(request=tmp_path / "stick")
    assert proposal.lines == (f"+ releases/{digest}.json sha256 {digest}",)
    assert signed_offline(ministry, safe, tmp_path / "stick", "targets") == ()
    assert node.refresh(now=NOW) == (digest,)


def test_a_stick_in_the_centre_signs_as_well_and_leaves_no_key_behind(ministry, safe, client, package, tmp_path):
    digest = index_digest(ministry.release_publish(package))
    before = everything(ministry.root / "keys")
    key = key_file_look(safe / "targets.pem")
    with pytest.raises(PassphraseWrong):
        staged_sign(**ministry.repository, key=key, passphrase=lambda _path: "wrong", now=NOW)
    assert targets_read(root=ministry.root / "tuf") == ()
    assert staged_sign(**ministry.repository, key=key, passphrase=passphrase, now=NOW) == ()
    assert targets_read(root=ministry.root / "tuf") == (f"releases/{digest}.json",)
    assert everything(ministry.root / "keys") == before
    with pytest.raises(RequestOutdated):
        staged_sign(**ministry.repository, key=key, passphrase=passphrase, now=NOW)


def test_a_withdrawal_waits_for_the_targets_key_too_and_says_so(ministry, safe, client, package, tmp_path):
    digest = index_digest(ministry.release_publish(package))
    signed_offline(ministry, safe, tmp_path / "stick", "targets")
    assert not targets_withdraw(**ministry.repository, paths=[f"releases/{digest}.json"], now=NOW)
    assert [each.role for each in changes_waiting(root=ministry.root / "tuf")] == ["targets"]
    assert signed_offline(ministry, safe, tmp_path / "stick", "targets") == ()
    assert ministry.node(tmp_path / "node", client).refresh(now=NOW) == ()


def test_a_key_that_counts_for_nothing_in_a_request_signs_nothing(ministry, safe, package, tmp_path):
    ministry.release_publish(package)
    request_export(root=ministry.root / "tuf", into=tmp_path / "stick")
    before = everything(tmp_path / "stick")
    stranger = key_file_create(tmp_path / "stranger.pem")
    for key in (stranger, key_file_look(safe / "root-1.pem")):
        with pytest.raises(KeyNotNeeded):
            request_sign(request=tmp_path / "stick", key=key, passphrase=passphrase)
    assert everything(tmp_path / "stick") == before


def test_signatures_for_another_change_than_the_one_that_waits_are_not_taken(ministry, safe, package, tmp_path):
    ministry.release_publish(package)
    request_export(root=ministry.root / "tuf", into=tmp_path / "old")
    request_sign(request=tmp_path / "old", key=key_file_look(safe / "targets.pem"), passphrase=passphrase)
    target_publish(**ministry.repository, path="verdicts/x.json", content=b"{}", now=NOW)
    before = everything(ministry.root / "tuf")
    with pytest.raises(RequestOutdated):
        request_import(**ministry.repository, request=tmp_path / "old", now=NOW)
    with pytest.raises(RequestUnreadable):
        request_import(**ministry.repository, request=tmp_path / "nothing", now=NOW)
    assert everything(ministry.root / "tuf") == before


def test_a_false_signature_on_the_stick_is_left_on_it(ministry, safe, package, tmp_path):
    ministry.release_publish(package)
    request_export(root=ministry.root / "tuf", into=tmp_path / "stick")
    path = tmp_path / "stick" / "staged" / "targets.json"
    plain = json.loads(path.read_bytes())
    plain["signatures"] = [{"keyid": key_file_look(safe / "targets.pem").key_id, "sig": "00" * 64}]
    path.write_text(json.dumps(plain))
    (waiting,) = request_import(**ministry.repository, request=tmp_path / "stick", now=NOW)
    assert (waiting.signed, waiting.missing) == ((), 1)
    assert targets_read(root=ministry.root / "tuf") == ()


def test_a_node_that_slept_through_three_root_rotations_follows_the_chain(centre, client, package, tmp_path):
    digest = index_digest(centre.release_publish(package))
    node_root = tmp_path / "node"
    node = centre.node(node_root, client)
    node.refresh(now=NOW)
    for number in (1, 2, 3):
        old = key_file_look(offline_key_path(centre.root / "keys", f"root-{number}")).key_id
        key_rotate(**centre.repository, role="root", old=old, now=NOW)
    for role in ("targets", "snapshot", "timestamp", "director"):
        key_rotate(**centre.repository, role=role, now=NOW)
    assert version_of_root(centre) == 7
    woken = TrustedReleases(root=node_root, base_url=centre.url, client=client)
    assert woken.refresh(now=NOW + timedelta(days=1)) == (digest,)
    assert key_id(woken.director_key) == key_id(director_public(centre.root / "tuf"))
    kept = sorted(path.name for path in (node_root / "metadata" / "root_history").iterdir())
    assert kept == [f"{version}.root.json" for version in range(1, 8)]


def test_a_rotated_root_that_the_old_keys_have_not_signed_is_not_published(ministry, safe, client, tmp_path):
    node = ministry.node(tmp_path / "node", client)
    new = key_file_create(safe / "root-4.pem")
    old = key_file_look(safe / "root-1.pem").key_id
    key_rotate(**ministry.repository, role="root", old=old[:8], new=new.public, now=NOW)
    (waiting,) = signed_offline(ministry, safe, tmp_path / "stick", "root-4")
    assert (waiting.missing, version_of_root(ministry)) == (2, 1)
    (waiting,) = signed_offline(ministry, safe, tmp_path / "stick", "root-1")
    assert version_of_root(ministry) == 1
    assert signed_offline(ministry, safe, tmp_path / "stick", "root-2") == ()
    assert version_of_root(ministry) == 2
    assert node.refresh(now=NOW) == ()


def test_a_new_targets_key_comes_with_targets_that_it_has_signed(ministry, safe, client, package, tmp_path):
    digest = index_digest(ministry.release_publish(package))
    signed_offline(ministry, safe, tmp_path / "stick", "targets")
    new = key_file_create(safe / "targets-2.pem")
    key_rotate(**ministry.repository, role="targets", new=new.public, now=NOW)
    assert [each.role for each in changes_waiting(root=ministry.root / "tuf")] == ["root", "targets"]
    waiting = signed_offline(ministry, safe, tmp_path / "stick", "root-3", "root-2")
    assert [each.role for each in waiting] == ["root", "targets"]
    node = ministry.node(tmp_path / "node", client)
    assert node.refresh(now=NOW) == (digest,)
    assert signed_offline(ministry, safe, tmp_path / "stick", "targets-2") == ()
    assert (version_of_root(ministry), node.refresh(now=NOW)) == (2, (digest,))


def test_a_release_can_be_published_while_a_new_targets_key_still_waits(ministry, safe, client, package, tmp_path):
    new = key_file_create(safe / "targets-2.pem")
    key_rotate(**ministry.repository, role="targets", new=new.public, now=NOW)
    digest = index_digest(ministry.release_publish(package))
    signed_offline(ministry, safe, tmp_path / "stick", "targets")
    node = ministry.node(tmp_path / "node", client)
    assert (version_of_root(ministry), node.refresh(now=NOW)) == (1, (digest,))
    assert [each.role for each in changes_waiting(root=ministry.root / "tuf")] == ["root", "targets"]
    assert signed_offline(ministry, safe, tmp_path / "stick", "targets-2", "root-2", "root-3") == ()
    assert (version_of_root(ministry), node.refresh(now=NOW)) == (2, (digest,))


def test_a_trial_becomes_production_key_by_key(centre, safe, client, package, tmp_path):
    digest = index_digest(centre.release_publish(package))
    node = centre.node(tmp_path / "node", client)
    node.refresh(now=NOW)
    key_rotate(**centre.repository, role="targets", new=key_file_look(safe / "targets.pem").public, now=NOW)
    assert [each.role for each in changes_waiting(root=centre.root / "tuf")] == ["root", "targets"]
    assert signed_offline(centre, safe, tmp_path / "stick", "targets") == ()
    for name in ROOT_KEYS:
        old = key_file_look(offline_key_path(centre.root / "keys", name)).key_id
        key_rotate(**centre.repository, role="root", old=old, new=key_file_look(safe / f"{name}.pem").public, now=NOW)
    assert signed_offline(centre, safe, tmp_path / "stick", "root-2", "root-3") == ()
    orphans = keys_orphaned(**centre.repository)
    assert {file.path.parent.name for file in orphans} == {"offline"}
    assert len(orphans) == 4
    shutil.rmtree(centre.root / "keys" / "offline")
    timestamp_refresh(**centre.repository, now=NOW + timedelta(days=1))
    assert node.refresh(now=NOW + timedelta(days=1)) == (digest,)


def test_what_a_revoked_targets_key_signs_is_refused_afterwards(centre, client, package, tmp_path):
    node = centre.node(tmp_path / "node", client)
    thief = tmp_path / "thief"
    shutil.copytree(centre.root, thief)
    (stolen,) = (state for state in roles_read(root=thief / "tuf", keys=thief / "keys") if state.role == "targets")
    key_revoke(**centre.repository, key=stolen.keys[0].key_id[:12], now=NOW)
    assert node.refresh(now=NOW) == ()
    # The thief has the old keys, and gets between the node and the centre.
    target_publish(root=thief / "tuf", keys=thief / "keys", path="releases/x.json", content=b"x", now=NOW)
    target_publish(root=thief / "tuf", keys=thief / "keys", path="releases/y.json", content=b"y", now=NOW)
    trusted = everything(tmp_path / "node")
    for path in (thief / "tuf" / "metadata").iterdir():
        shutil.copy(path, centre.root / "tuf" / "metadata" / path.name)
    for _ in range(9):
        timestamp_refresh(root=thief / "tuf", keys=thief / "keys", now=NOW)
    shutil.copy(thief / "tuf" / "metadata" / "timestamp.json", centre.root / "tuf" / "metadata" / "timestamp.json")
    with pytest.raises(MetadataUnsigned):
        TrustedReleases(root=tmp_path / "node", base_url=centre.url, client=client).refresh(now=NOW)
    kept = everything(tmp_path / "node")
    for name in ("trusted.json", "metadata/targets.json"):
        assert kept[tmp_path / "node" / name] == trusted[tmp_path / "node" / name]


def test_the_last_spare_root_key_may_not_be_revoked_without_a_new_one(centre):
    ids = [key_file_look(offline_key_path(centre.root / "keys", name)).key_id for name in ROOT_KEYS]
    key_revoke(**centre.repository, key=ids[0], now=NOW)
    before = everything(centre.root / "tuf")
    with pytest.raises(KeysTooFew):
        key_revoke(**centre.repository, key=ids[1], now=NOW)
    for wanted in (ids[0], "1234567", "0" * 64):
        with pytest.raises(KeyNotInForce):
            key_revoke(**centre.repository, key=wanted, now=NOW)
    assert everything(centre.root / "tuf") == before


def test_a_rotation_that_a_cut_has_left_half_published_is_finished_by_the_next_refresh(centre, client, tmp_path):
    node = centre.node(tmp_path / "node", client)
    whole = shutil.copytree(centre.root, tmp_path / "whole")
    key_rotate(root=whole / "tuf", keys=whole / "keys", role="snapshot", now=NOW)
    # What a cut leaves behind the first of its writes: the new key and the new root, and the old snapshot.
    shutil.copy(whole / "keys" / "online" / "snapshot-2.pem", centre.root / "keys" / "online")
    shutil.copy(whole / "tuf" / "metadata" / "2.root.json", centre.root / "tuf" / "metadata")
    with pytest.raises(MetadataUnsigned):
        node.refresh(now=NOW)
    timestamp_refresh(**centre.repository, now=NOW)
    assert node.refresh(now=NOW) == ()
    assert changes_waiting(root=centre.root / "tuf") == ()


def test_a_root_whose_online_key_is_not_here_is_not_published(centre, tmp_path):
    elsewhere = key_file_create(tmp_path / "elsewhere.pem")
    with pytest.raises(KeyUnreadable):
        key_rotate(**centre.repository, role="timestamp", new=elsewhere.public, now=NOW)
    assert version_of_root(centre) == 1


def test_renewing_moves_the_expiry_and_nothing_else(centre):
    later = NOW + timedelta(days=700)
    assert [state.role for state in roles_read(**centre.repository) if state.is_expiring(NOW)] == []
    expiring = [state.role for state in roles_read(**centre.repository) if state.is_expiring(later)]
    assert expiring == ["targets", "snapshot", "timestamp"]
    for role in ("root", "targets"):
        before = next(state for state in roles_read(**centre.repository) if state.role == role)
        role_renew(**centre.repository, role=role, now=later)
        after = next(state for state in roles_read(**centre.repository) if state.role == role)
        assert after.expires_at - before.expires_at == timedelta(days=700)
        assert (after.keys, after.version > before.version) == (before.keys, True)
        # Schools ask for the root after the one that they have.
        assert role != "root" or after.version == before.version + 1
    assert [state.role for state in roles_read(**centre.repository) if state.is_expiring(later)] == []


def test_a_key_that_no_role_uses_any_more_is_named_and_sightings_outlive_the_stick(centre, safe, tmp_path):
    key_rotate(**centre.repository, role="timestamp", now=NOW)
    assert [file.path for file in keys_orphaned(**centre.repository)] == [
        online_key_path(centre.root / "keys", "timestamp")
    ]
    keys = centre.root / "keys"
    sightings_record(keys, key_files_find(safe), now=NOW)
    shutil.rmtree(safe)
    seen = sightings_read(keys)
    assert {Path(each.path).name for each in seen.values()} == {"root-1.pem", "root-2.pem", "root-3.pem", "targets.pem"}
    assert {each.name for each in seen.values() if each.is_encrypted} == {"root-1", "targets"}
    assert all(each.at == NOW for each in seen.values())


def test_the_root_that_new_schools_get_is_the_newest(centre):
    first = root_fingerprint(root_metadata_read(centre.root / "tuf"))
    key_rotate(**centre.repository, role="timestamp", now=NOW)
    assert root_fingerprint(root_metadata_read(centre.root / "tuf")) != first

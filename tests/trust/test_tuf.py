"""The publisher and the client against each other, over real HTTP."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from federation.trust.errors import (
    DirectorUnknown,
    MetadataDamaged,
    MetadataExpired,
    MetadataRolledBack,
    MetadataUnreachable,
    MetadataUnsigned,
    ReleaseNotTrusted,
    RepositoryMissing,
    WrongRoot,
)
from federation.trust.keys import KeyUnreadable, director_key_load, key_id
from federation.trust.release_bytes import index_digest
from federation.trust.tuf_changes import version_next
from federation.trust.tuf_client import TrustedReleases, root_accept, target_path
from federation.trust.tuf_files import RepositoryFiles
from federation.trust.tuf_publisher import (
    director_key_path,
    metadata_version_read,
    offline_key_path,
    online_renew,
    repository_create,
    root_fingerprint,
    root_metadata_read,
    target_publish,
    targets_read,
    targets_withdraw,
    timestamp_refresh,
)
from federation.trust.tuf_roles import role_renew
from tests.trust.conftest import NOW, Centre


def test_a_published_release_reaches_a_node_with_its_index_and_director_key(centre, client, package, tmp_path):
    index = centre.release_publish(package)
    node = centre.node(tmp_path / "node", client)
    assert node.refresh(now=NOW) == (index_digest(index),)
    assert node.index_fetch(index_digest(index)) == index
    director = director_key_load(director_key_path(centre.root / "keys"))
    assert key_id(node.director_key) == key_id(director)


def test_a_release_that_was_never_published_or_is_withdrawn_is_not_trusted(centre, client, package, tmp_path):
    digest = index_digest(centre.release_publish(package))
    node = centre.node(tmp_path / "node", client)
    node.refresh(now=NOW)
    node.index_fetch(digest)
    with pytest.raises(ReleaseNotTrusted):
        node.index_fetch("0" * 64)
    targets_withdraw(**centre.repository, paths=[target_path(digest)], now=NOW)
    assert node.refresh(now=NOW) == ()
    with pytest.raises(ReleaseNotTrusted):
        node.index_fetch(digest)


def test_metadata_is_current_only_as_long_as_no_newer_is_named_and_none_of_it_has_expired(
    centre, client, package, tmp_path
):
    centre.release_publish(package)
    node = centre.node(tmp_path / "node", client)
    named = metadata_version_read(centre.root / "tuf")
    assert not node.is_current(version=named, now=NOW)
    node.refresh(now=NOW)
    assert node.is_current(version=named, now=NOW)
    # Also for the next process, which has refreshed nothing itself.
    assert centre.node(tmp_path / "node", client).is_current(version=named, now=NOW)
    assert not node.is_current(version=named, now=NOW + timedelta(days=31))
    assert not node.is_current(version="", now=NOW)
    timestamp_refresh(**centre.repository, now=NOW)
    assert not node.is_current(version=metadata_version_read(centre.root / "tuf"), now=NOW)


def test_a_root_that_was_not_printed_with_the_claim_code_is_refused_and_not_kept(centre, client, tmp_path):
    metadata = root_metadata_read(centre.root / "tuf")
    repository_create(root=tmp_path / "other" / "tuf", keys=tmp_path / "other" / "keys", now=NOW)
    foreign = root_metadata_read(tmp_path / "other" / "tuf")
    with pytest.raises(WrongRoot):
        root_accept(root=tmp_path / "node", metadata=foreign, fingerprint=root_fingerprint(metadata))
    assert not (tmp_path / "node").exists()
    with pytest.raises(WrongRoot):
        TrustedReleases(root=tmp_path / "node", base_url=centre.url, client=client).refresh(now=NOW)


def test_another_centre_behind_the_same_address_is_refused(centre, client, package, tmp_path):
    node = centre.node(tmp_path / "node", client)
    shutil.rmtree(centre.root)
    repository_create(**centre.repository, now=NOW)
    centre.release_publish(package)
    with pytest.raises(MetadataUnsigned):
        node.refresh(now=NOW)
    with pytest.raises(DirectorUnknown):
        _ = node.director_key


def newest(root, role):
    """Return the file of the role's newest version."""
    return root / "tuf" / "metadata" / f"{max(RepositoryFiles(root / 'tuf').versions(role))}.{role}.json"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_metadata_with_a_changed_byte_is_refused(centre, client, package, tmp_path, role):
    centre.release_publish(package)
    is_timestamp = role == "timestamp"
    path = centre.root / "tuf" / "metadata" / "timestamp.json" if is_timestamp else newest(centre.root, role)
    plain = json.loads(path.read_bytes())
    plain["signed"]["version"] += 1 if is_timestamp else 0
    plain["signed"]["x_more"] = "changed"
    path.write_text(json.dumps(plain))
    node = centre.node(tmp_path / "node", client)
    with pytest.raises(MetadataUnsigned):
        node.refresh(now=NOW)
    assert node.trusted.releases == ()


def test_an_index_with_a_changed_byte_is_refused_and_not_kept(centre, client, package, tmp_path):
    digest = index_digest(centre.release_publish(package))
    path = centre.root / "tuf" / "targets" / "releases" / f"{digest}.{digest}.json"
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2'))
    node = centre.node(tmp_path / "node", client)
    node.refresh(now=NOW)
    with pytest.raises(MetadataDamaged):
        node.index_fetch(digest)
    assert list((tmp_path / "node" / "indexes").iterdir()) == []


def test_older_metadata_than_was_trusted_is_refused_whatever_the_clock_says(centre, client, package, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(centre.root / "tuf", old)
    digest = index_digest(centre.release_publish(package))
    node = centre.node(tmp_path / "node", client)
    node.refresh(now=NOW)
    shutil.rmtree(centre.root / "tuf")
    shutil.copytree(old, centre.root / "tuf")
    for now in (NOW, datetime(1970, 1, 1, tzinfo=UTC)):
        again = TrustedReleases(root=tmp_path / "node", base_url=centre.url, client=client)
        with pytest.raises(MetadataRolledBack):
            again.refresh(now=now)
        assert again.trusted.releases == (digest,)


def test_expired_metadata_is_refused_and_what_was_trusted_stays_known(centre, client, package, tmp_path):
    digest = index_digest(centre.release_publish(package))
    node = centre.node(tmp_path / "node", client)
    node.refresh(now=NOW)
    with pytest.raises(MetadataExpired):
        node.refresh(now=NOW + timedelta(days=31))
    restarted = TrustedReleases(root=tmp_path / "node", base_url=centre.url, client=client)
    assert restarted.trusted.releases == (digest,)
    assert restarted.director_key
    timestamp_refresh(**centre.repository, now=NOW + timedelta(days=200))
    assert restarted.refresh(now=NOW + timedelta(days=200)) == (digest,)


def test_a_clock_set_back_does_not_make_expired_metadata_fresh(centre, client, tmp_path):
    node = centre.node(tmp_path / "node", client)
    timestamp_refresh(**centre.repository, now=NOW)
    kept = (centre.root / "tuf" / "metadata" / "timestamp.json").read_bytes()
    timestamp_refresh(**centre.repository, now=NOW + timedelta(days=40))
    node.refresh(now=NOW + timedelta(days=40))
    assert node.trusted.time_floor == NOW + timedelta(days=40)
    fresh_node = tmp_path / "node" / "metadata"
    for name in ("timestamp.json", "snapshot.json"):
        (fresh_node / name).unlink()
    (centre.root / "tuf" / "metadata" / "timestamp.json").write_bytes(kept)
    restarted = TrustedReleases(root=tmp_path / "node", base_url=centre.url, client=client)
    with pytest.raises(MetadataExpired):
        restarted.refresh(now=datetime(1970, 1, 1, tzinfo=UTC))


def test_metadata_that_a_power_cut_has_halved_on_the_node_is_fetched_again(centre, client, package, tmp_path):
    digest = index_digest(centre.release_publish(package))
    centre.node(tmp_path / "node", client).refresh(now=NOW)
    for path in (tmp_path / "node" / "metadata").glob("*.json"):
        if not path.is_symlink():
            path.write_bytes(path.read_bytes()[:100])
    (tmp_path / "node" / "trusted.json").write_bytes(b"")
    restarted = TrustedReleases(root=tmp_path / "node", base_url=centre.url, client=client)
    assert restarted.refresh(now=NOW) == (digest,)


def test_a_centre_that_is_away_is_a_reason_to_try_later(centre, client, tmp_path):
    node = centre.node(tmp_path / "node", client)
    (centre.root / "tuf" / "metadata" / "timestamp.json").unlink()
    with pytest.raises(MetadataUnreachable):
        node.refresh(now=NOW)
    lost = TrustedReleases(root=tmp_path / "node", base_url="http://127.0.0.1:9", client=client)
    with pytest.raises(MetadataUnreachable):
        lost.refresh(now=NOW)


def test_creating_twice_changes_nothing_and_two_roots_suffice_to_sign(centre):
    before = {path: path.read_bytes() for path in centre.root.rglob("*") if path.is_file()}
    repository_create(**centre.repository, now=NOW + timedelta(days=1))
    assert {path: path.read_bytes() for path in centre.root.rglob("*") if path.is_file()} == before
    role = json.loads(root_metadata_read(centre.root / "tuf"))["signed"]["roles"]["root"]
    assert (len(role["keyids"]), role["threshold"]) == (3, 2)


def test_freshening_needs_no_offline_key_and_publishing_needs_it(centre, package):
    shutil.rmtree(offline_key_path(centre.root / "keys", "targets").parent)
    expiry = timestamp_refresh(**centre.repository, now=NOW + timedelta(days=20))
    assert expiry == NOW + timedelta(days=50)
    centre.release_publish(package)
    assert targets_read(root=centre.root / "tuf") == ()


def test_publishing_without_an_online_key_is_refused_and_nothing_is_published(centre, client, package, tmp_path):
    online = centre.root / "keys" / "online"
    online.rename(centre.root / "away")
    before = sorted((centre.root / "tuf" / "metadata").iterdir())
    with pytest.raises(KeyUnreadable):
        centre.release_publish(package)
    assert sorted((centre.root / "tuf" / "metadata").iterdir()) == before
    assert centre.node(tmp_path / "node", client).refresh(now=NOW) == ()


def test_a_publication_that_was_cut_before_the_timestamp_is_invisible_and_can_be_repeated(
    centre, client, package, tmp_path
):
    whole = Centre(root=shutil.copytree(centre.root, tmp_path / "whole"))
    whole.release_publish(package)
    # What a cut leaves behind the first of its writes: the new targets, and the old timestamp.
    shutil.copy(newest(whole.root, "targets"), centre.root / "tuf" / "metadata")
    node = centre.node(tmp_path / "node", client)
    assert node.refresh(now=NOW) == ()
    digest = index_digest(centre.release_publish(package))
    assert node.refresh(now=NOW) == (digest,)


def test_a_target_under_a_releases_name_with_other_bytes_is_no_release(centre, client, tmp_path):
    target_publish(**centre.repository, path=target_path("a" * 64), content=b"{}", now=NOW)
    assert centre.node(tmp_path / "node", client).refresh(now=NOW) == ()


def test_publishing_without_a_repository_says_so(tmp_path):
    with pytest.raises(RepositoryMissing):
        target_publish(root=tmp_path / "tuf", keys=tmp_path / "keys", path="a", content=b"", now=NOW)


def restored(centre, tmp_path):
    """Put back the repository of `tmp_path / backup`."""
    shutil.rmtree(centre.root / "tuf")
    shutil.copytree(tmp_path / "backup", centre.root / "tuf")


def test_a_repository_restored_from_a_backup_counts_on_above_what_schools_have_seen(centre, client, tmp_path):
    node = centre.node(tmp_path / "node", client)
    shutil.copytree(centre.root / "tuf", tmp_path / "backup")
    for day in (20, 21, 22):
        timestamp_refresh(**centre.repository, now=NOW + timedelta(days=day))
    later = NOW + timedelta(days=22, hours=1)
    node.refresh(now=later)
    restored(centre, tmp_path)
    with pytest.raises(MetadataRolledBack):
        node.refresh(now=later)
    timestamp_refresh(**centre.repository, now=later)
    assert node.refresh(now=later) == ()


def test_a_snapshot_younger_than_the_backup_is_followed_by_one_that_is_signed_for_the_restore(centre, client, tmp_path):
    node = centre.node(tmp_path / "node", client)
    shutil.copytree(centre.root / "tuf", tmp_path / "backup")
    online_renew(**centre.repository, now=NOW + timedelta(hours=1))
    later = NOW + timedelta(hours=2)
    node.refresh(now=later)
    restored(centre, tmp_path)
    timestamp_refresh(**centre.repository, now=later)
    with pytest.raises(MetadataRolledBack):
        node.refresh(now=later)
    online_renew(**centre.repository, now=later)
    assert node.refresh(now=later) == ()


def test_releases_younger_than_the_backup_are_the_targets_keys_to_sign_anew(centre, client, package, tmp_path):
    node = centre.node(tmp_path / "node", client)
    shutil.copytree(centre.root / "tuf", tmp_path / "backup")
    lost = index_digest(centre.release_publish(package))
    assert node.refresh(now=NOW) == (lost,)
    restored(centre, tmp_path)
    later = NOW + timedelta(hours=2)
    online_renew(**centre.repository, now=later)
    with pytest.raises(MetadataRolledBack):
        node.refresh(now=later)
    role_renew(**centre.repository, role="targets", now=later)
    assert node.refresh(now=later) == ()


@pytest.mark.parametrize(
    ("before", "seconds", "version"), [(0, 0, 0), (0, 90, 90), (5, 90, 90), (90, 90, 91), (200, 90, 201), (0, -9, 1)]
)
def test_a_version_is_the_clocks_or_the_next_one_where_that_is_higher(before, seconds, version):
    now = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    assert version_next(before, now) == max(version, before + 1)

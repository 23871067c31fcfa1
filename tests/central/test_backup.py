"""Copies of the centre's files, and how tables and disk find each other again after a restore."""

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from central.backup.errors import BackupPlaceTaken
from central.backup.mirror import Copied, folder_mirror, sqlite_copy
from central.backup.reconciling import restore_reconcile
from central.backup.services import BackupKind, files_backup, keys_backup
from central.releases.models import ReleaseFile
from central.schools.models import Node
from central.training.models import Update
from federation.trust.tuf_publisher import timestamp_issued_at
from tests.central.commands import environment_of, manage
from tests.central.seasons import season_small, take_in, update_of


def content_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Copying


def test_a_copy_has_what_the_source_has_and_nothing_else(tmp_path):
    source, into = tmp_path / "source", tmp_path / "into"
    for name in ("a", "b/c", "b/.lock", "left/d"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    (source / "link").symlink_to(source / "a")
    assert folder_mirror(source=source, into=into, but=["left"]) == Copied(files=2, size_bytes=4)
    assert folder_mirror(source=source, into=into, but=["left"]) == Copied()
    assert content_of(into) == {"a": b"a", "b/c": b"b/c"}
    assert {path.stat().st_mode & 0o777 for path in into.rglob("*") if path.is_file()} == {0o600}
    (source / "b" / "c").unlink()
    (source / "a").write_text("changed")
    assert folder_mirror(source=source, into=into, but=["left"]) == Copied(files=1, size_bytes=7, removed=1)
    assert content_of(into) == {"a": b"changed"}


def test_a_database_that_is_written_to_is_copied_as_of_one_moment(tmp_path):
    source, is_over = tmp_path / "live.sqlite3", threading.Event()
    with closing(sqlite3.connect(source)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE pair (one INTEGER, other INTEGER)")
        database.commit()

    def write():
        with closing(sqlite3.connect(source)) as database:
            number = 0
            while not is_over.is_set():
                number += 1
                database.execute("INSERT INTO pair VALUES (?, ?)", (number, number))
                database.execute("UPDATE pair SET other = ?", (number,))
                database.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            sqlite_copy(source=source, into=tmp_path / "copies" / str(number))
    finally:
        is_over.set()
        writer.join()
    for number in range(5):
        with closing(sqlite3.connect(tmp_path / "copies" / str(number))) as copy:
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            ((rows, newest, others),) = copy.execute("SELECT count(*), max(one), count(DISTINCT other) FROM pair")
            assert (rows, others) == (newest or 0, min(rows, 1))
    assert sorted(path.name for path in (tmp_path / "copies").iterdir()) == ["0", "1", "2", "3", "4"]


# What is in which backup


def test_files_and_keys_go_to_two_places_and_offline_keys_to_none(disk, keys, now, tmp_path):
    (disk.blobs / "aa").mkdir(parents=True)
    (disk.blobs / "aa" / "aa1").write_bytes(b"weights")
    (disk.superlink / "tls").mkdir(parents=True)
    (disk.superlink / "tls" / "server.key").write_bytes(b"private")
    (disk.logs).mkdir()
    (disk.logs / "web.log").write_text("words")
    files, own = tmp_path / "files", tmp_path / "keys"
    assert files_backup(disk=disk, place=files, now=now).kind is BackupKind.FILES
    keys_backup(disk=disk, place=own, now=now)
    names, secret = set(content_of(files)), set(content_of(own))
    assert {"backup.json", "blobs/aa/aa1", "tuf/metadata/timestamp.json", "tuf/metadata/1.root.json"} <= names
    assert {"keys/director.pem", "keys/online/timestamp.pem", "training/superlink/tls/server.key"} <= secret
    assert names & secret == {"backup.json"}
    private = {path for path in content_of(disk.root) if path.endswith((".pem", ".key")) and "pub" not in path}
    assert not names & private
    assert not [name for name in secret if "offline" in name]
    assert not [name for name in names | secret if name.startswith("logs")]
    assert json.loads((files / "backup.json").read_text()) == {"kind": "files", "made_at": now.isoformat()}


def test_a_place_that_holds_something_else_is_left_as_it_is(disk, keys, now, tmp_path):
    place = tmp_path / "place"
    keys_backup(disk=disk, place=place, now=now)
    before = content_of(place)
    with pytest.raises(BackupPlaceTaken):
        files_backup(disk=disk, place=place, now=now)
    assert content_of(place) == before
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"picture")
    with pytest.raises(BackupPlaceTaken):
        keys_backup(disk=disk, place=tmp_path / "photos", now=now)
    assert content_of(tmp_path / "photos") == {"a.jpg": b"picture"}


@pytest.mark.slow
def test_an_embedded_centre_comes_back_from_its_two_copies(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    manage(environment_of(first), "migrate", "--verbosity", "0")
    manage(environment_of(first), "keys", "make")
    manage(environment_of(first), "school_invite", "--name", "Мактаби №1")
    for kind in ("files", "keys"):
        manage(environment_of(first), "backup", kind, str(tmp_path / kind))
    for kind in ("files", "keys"):
        shutil.copytree(tmp_path / kind, second, dirs_exist_ok=True)
    assert "0 taken in from the disk" in manage(environment_of(second), "backup", "reconcile")
    names = "from central.schools.models import School; print(*School.objects.values_list('name', flat=True))"
    assert "Мактаби №1" in manage(environment_of(second), "shell", "--no-imports", "--command", names)
    assert "timestamp" in manage(environment_of(second), "keys", "show")


# Tables and disk after a restore


@pytest.fixture
def season(db, keys):
    return season_small()


def file_of(disk, update):
    return disk.updates / update.plan.plan_id / f"{update.digest}.update"


def reconciled(disk):
    return restore_reconcile(disk=disk, now=timezone.now())


def test_an_update_that_the_tables_have_forgotten_is_taken_in_from_the_disk(school, season, disk):
    digest = take_in(update_of(school, season), disk).digest
    Update.objects.all().delete()
    assert reconciled(disk).updates.taken_in == 1
    assert Update.objects.get().digest == digest
    assert reconciled(disk).updates.taken_in == 0


def test_an_update_that_the_disk_has_lost_is_asked_for_again_and_no_other(school, other_school, season, disk):
    lost, kept = (take_in(update_of(each, season), disk) for each in (school, other_school))
    numbers = {each: {"number": 2, "heard_number": 1} for each in (school, other_school)}
    for each in (school, other_school):
        each.check_in(number=1)
    file_of(disk, lost).unlink()
    assert reconciled(disk).updates.asked_again == 1
    assert Update.objects.get() == kept
    told = [each.check_in(**numbers[each]).restored_number for each in (school, other_school)]
    assert told == [2, 0]
    assert take_in(update_of(school, season), disk).status == "accepted"


def test_a_lost_update_of_a_round_that_is_over_keeps_its_row(school, season, disk):
    update = take_in(update_of(school, season), disk)
    update.round.__class__.objects.filter(pk=update.round_id).update(
        status="completed", release=season.base, ended_at=timezone.now()
    )
    file_of(disk, update).unlink()
    updates = reconciled(disk).updates
    assert (updates.asked_again, updates.missing, Update.objects.count()) == (0, 1, 1)


def test_a_file_that_is_nobodys_stays_where_it_lies(season, disk):
    stray = disk.updates / "plan" / f"{'0' * 64}.update"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"noise")
    assert reconciled(disk).updates.taken_in == 0
    assert stray.read_bytes() == b"noise"


def test_the_release_list_is_signed_anew(season, disk):
    before = timestamp_issued_at(root=disk.tuf)
    now = timezone.now() + timedelta(hours=1)
    restore_reconcile(disk=disk, now=now)
    assert before < timestamp_issued_at(root=disk.tuf) == now.replace(microsecond=0)


def test_a_release_whose_files_did_not_come_back_is_named(season, disk, now):
    ReleaseFile.objects.create(release=season.base, path="model.bin", size_bytes=7, sha256="e" * 64)
    assert reconciled(disk).releases_without_files == (season.base.digest,)
    with pytest.raises(CommandError, match=season.base.digest[:12]):
        call_command("backup", "reconcile")
    assert Node.objects.count() == 0

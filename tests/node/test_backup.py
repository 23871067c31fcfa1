"""Backups: what is sealed opens only whole and by its passphrase; a restore is all or nothing, also under SIGKILL."""

import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.demo.commands import CommandLine
from federation.demo.errors import StepFailed
from federation.trust.errors import DiskFull
from federation.trust.stick_errors import StickForbidden, StickGone
from federation.trust.stick_media import Medium
from federation.wire.canonical import canonical_bytes
from node.backup.database import database_replace, epoch_read, migrations_check, snapshot_write
from node.backup.errors import (
    BackupDamaged,
    BackupOfAnotherSchool,
    BackupStopped,
    BackupTooNew,
    BackupUnderWay,
    BackupUnreadable,
    NothingToUndo,
    PassphraseRefused,
    PassphraseWrong,
    RestoreUnsettled,
)
from node.backup.making import backup_make
from node.backup.places import backup_newest_at, backups_find, local_folder
from node.backup.restoring import backup_restore, is_undo_possible, restore_keep, restore_settle, restore_undo
from node.backup.sealed_file import Heading, heading_read, opened_pieces, passphrase_read, sealed_pieces
from node.backup.work import Work, WorkKind, WorkStatus, WorkStep, work_announce, work_hold, work_newest, work_stop
from node.children import child_environment
from node.sync.enrol import Enrolment, enrolment_keep
from tests.stations import does_answer, node_run

TREE = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
PHRASE = "a long passphrase"
PEOPLE = "SELECT username FROM auth_user ORDER BY username"


def clock():
    return NOW


def heading(**fields):
    given = {"made_at": NOW, "school": "Мактаби №1", "node_id": "n", "salt": b"s" * 16, "scrypt_n": 2, "chunk_bytes": 8}
    return Heading(**(given | fields))


def sealed(content, **fields):
    return b"".join(sealed_pieces(heading=heading(**fields), passphrase=b"words", content=[content]))


def opened(file, passphrase=b"words"):
    stream = io.BytesIO(file)
    return b"".join(opened_pieces(stream=stream, heading=heading_read(stream), passphrase=passphrase))


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 30))
def test_whatever_is_sealed_in_whatever_pieces_opens_as_it_was(pieces, chunk_bytes):
    made = heading(chunk_bytes=chunk_bytes)
    file = b"".join(sealed_pieces(heading=made, passphrase=b"words", content=pieces))
    assert opened(file) == b"".join(pieces)


@given(st.data())
@settings(max_examples=60)
def test_no_bit_can_be_changed_and_nothing_cut_off_or_added_unseen(data):
    content = data.draw(st.binary(max_size=40))
    file = sealed(content)
    at = data.draw(st.integers(0, len(file) - 1))
    broken = data.draw(
        st.sampled_from([file[:at], file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :], file + file[at:]])
    )
    with pytest.raises((BackupDamaged, BackupUnreadable, BackupTooNew, PassphraseWrong)):
        assert opened(broken) is None


def test_two_chunks_that_change_places_are_seen():
    file = sealed(bytes(range(24)))
    front, first, second = file[:-72], file[-72:-48], file[-48:-24]
    with pytest.raises(BackupDamaged):
        opened(front + second + first + file[-24:])


def test_another_passphrase_opens_nothing_and_a_short_one_is_refused():
    with pytest.raises(PassphraseWrong):
        opened(sealed(b"content"), b"word")
    with pytest.raises(PassphraseRefused):
        passphrase_read("  short    ")
    assert passphrase_read(" калимаи дароз\n") == "калимаи дароз".encode()


@pytest.mark.parametrize("fields", [{"scrypt_n": 2**19}, {"scrypt_n": 3}, {"chunk_bytes": 2**25}, {"chunk_bytes": 0}])
def test_a_file_that_asks_for_what_no_backup_needs_is_none(fields):
    words = canonical_bytes(heading(**fields))
    with pytest.raises(BackupUnreadable):
        heading_read(io.BytesIO(b"SOROBAK1" + len(words).to_bytes(4, "big") + words))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A school's PC with a head, a class of conversations, and no process."""
    root = tmp_path_factory.mktemp("template") / "node"
    root.mkdir()
    node_command(root, "account_create", "--username", "director", "--role", "head")
    return root


@pytest.fixture
def school(template, tmp_path):
    root = tmp_path / "school"
    shutil.copytree(template, root)
    return root


def node_command(root, *words, says="", **environment):
    commands = CommandLine(project="node", root=root, environment=environment)
    done = subprocess.run(
        [sys.executable, str(TREE / "manage.py"), "node", *words],
        env=commands._environment(),
        input=says,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StepFailed(step=words[0], reason=done.stderr.strip(), log="")
    return done.stdout


def person_add(root, name):
    with closing(sqlite3.connect(root / "node.sqlite3")) as database, database:
        database.execute(
            "INSERT INTO auth_user (password, is_superuser, username, last_name, email, is_staff, is_active,"
            " date_joined, first_name) VALUES ('', 0, ?, '', '', 0, 1, '2026-11-26', '')",
            (name,),
        )


def rows(root, query=PEOPLE):
    with closing(sqlite3.connect(root / "node.sqlite3")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in database.execute(query)]


def made(root, folder=None):
    return backup_make(root=root, folder=folder or local_folder(root), passphrase=PHRASE, clock=clock)


def restored(root, file):
    return backup_restore(root=root, source=file, passphrase=PHRASE, clock=clock)


def test_what_came_after_a_backup_goes_with_the_restore_and_comes_back_with_the_undo(school):
    file = made(school)
    assert file.stat().st_mode & 0o077 == 0
    person_add(school, "after")
    before = epoch_read(school / "node.sqlite3")
    assert restored(school, file).made_at == NOW
    assert rows(school) == ["director"]
    after = epoch_read(school / "node.sqlite3")
    assert after != before
    assert is_undo_possible(school)
    with pytest.raises(RestoreUnsettled):
        restored(school, file)
    restore_undo(root=school, clock=clock)
    assert rows(school) == ["after", "director"]
    # The numbers under which the restored rows may have been sent are used by nobody else.
    assert epoch_read(school / "node.sqlite3") not in {before, after, ""}
    assert not is_undo_possible(school)
    assert [path.name for path in (school / "restore").iterdir()] == []
    with pytest.raises(NothingToUndo):
        restore_undo(root=school, clock=clock)


def test_a_restore_that_works_is_kept_and_the_data_from_before_is_gone(school):
    file = made(school)
    restored(school, file)
    work = Work(kind=WorkKind.UNDO, started_at=NOW)
    with work_hold(root=school, work=work, clock=clock), pytest.raises(BackupUnderWay):
        restore_keep(root=school)
    assert is_undo_possible(school)
    restore_keep(root=school)
    assert not is_undo_possible(school)
    assert not (school / "restore" / "before").exists()
    with pytest.raises(NothingToUndo):
        restore_keep(root=school)
    assert backup_newest_at(school) == NOW


def test_a_page_that_has_the_database_open_sees_the_change_and_goes_on(school):
    file = made(school)
    person_add(school, "after")
    with closing(sqlite3.connect(school / "node.sqlite3", timeout=20)) as page:
        assert len(page.execute(PEOPLE).fetchall()) == 2
        restored(school, file)
        assert page.execute(PEOPLE).fetchall() == [("director",)]
        with page:
            page.execute("UPDATE auth_user SET first_name = 'Гулнора'")
    assert rows(school, "SELECT first_name FROM auth_user") == ["Гулнора"]


def test_what_the_pc_runs_and_who_is_signed_in_stays_the_pcs_own(school):
    session = "INSERT INTO django_session VALUES (?, 'data', '2027-01-01')"
    record = (
        "INSERT INTO installed_installrecord (release, sequence, status, error_code, bytes_fetched, at, is_reported)"
        " VALUES (?, ?, 'committed', '', 0, '2026-11-26', 1)"
    )
    plan = (
        "INSERT INTO rounds_plan (plan_id, season_id, base, start, envelope, issued_at, closes_at, received_at)"
        " VALUES (?, '', '', '', x'', '2026-11-26', '2026-11-26', '2026-11-26')"
    )
    with closing(sqlite3.connect(school / "node.sqlite3")) as database, database:
        database.execute(session, ("old",))
        database.execute(record, ("a" * 64, 1))
        database.execute(plan, ("of-the-backup",))
    file = made(school)
    with closing(sqlite3.connect(school / "node.sqlite3")) as database, database:
        database.execute("DELETE FROM django_session")
        database.execute("DELETE FROM rounds_plan")
        database.execute(session, ("new",))
        database.execute(record, ("b" * 64, 2))
        database.execute(plan, ("of-the-pc",))
    restored(school, file)
    assert rows(school, "SELECT session_key FROM django_session") == ["new"]
    assert rows(school, "SELECT sequence FROM installed_installrecord ORDER BY sequence") == [1, 2]
    assert rows(school, "SELECT plan_id FROM rounds_plan ORDER BY 1") == ["of-the-backup", "of-the-pc"]


def test_on_another_pc_the_secrets_come_along_and_the_key_does_not(school, tmp_path):
    (school / "keys" / "node.pem").write_text("private")
    enrolment_keep(school, enrolment("n1", "Мактаби №1"))
    file = made(school)
    assert "private" not in file.read_bytes().decode("latin-1")
    other = tmp_path / "other"
    other.mkdir()
    node_command(other, "backup", "restore", str(file), says=PHRASE + "\n")
    assert rows(other) == ["director"]
    for name in ("django.secret", "pseudonym.secret"):
        assert (other / "keys" / name).read_bytes() == (school / "keys" / name).read_bytes()
        assert (other / "keys" / name).stat().st_mode & 0o077 == 0
    assert not (other / "keys" / "node.pem").exists()
    assert not (other / "node.json").exists()
    # There was nothing before that could come back.
    assert not is_undo_possible(other)


def test_a_damaged_database_is_put_out_of_the_way_whole_and_the_backup_takes_its_place(school):
    file = made(school)
    (school / "node.sqlite3").write_bytes(b"no database any more " * 4000)
    restored(school, file)
    assert rows(school) == ["director"]
    assert (school / "damaged" / "node.sqlite3").read_bytes().startswith(b"no database")


def enrolment(node_id, school):
    return Enrolment(node_id=node_id, school=school, central_url="", fleet=None, authority="")


def test_the_backup_of_another_school_is_refused_and_that_of_a_replaced_pc_taken(school):
    enrolment_keep(school, enrolment("n1", "Мактаби №1"))
    file = made(school)
    person_add(school, "after")
    enrolment_keep(school, enrolment("n2", "Мактаби №2"))
    with pytest.raises(BackupOfAnotherSchool):
        restored(school, file)
    assert rows(school) == ["after", "director"]
    enrolment_keep(school, enrolment("n2", "Мактаби №1"))
    restored(school, file)
    assert rows(school) == ["director"]


@pytest.mark.parametrize("harm", ["cut", "altered", "wrong", "none"])
def test_what_cannot_be_opened_changes_nothing(school, harm):
    file = made(school)
    person_add(school, "after")
    content = file.read_bytes()
    phrase = PHRASE
    if harm == "cut":
        file.write_bytes(content[:-1])
    elif harm == "altered":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif harm == "wrong":
        phrase = "another passphrase"
    else:
        file.unlink()
    epoch = epoch_read(school / "node.sqlite3")
    with pytest.raises((BackupDamaged, PassphraseWrong, StickGone)):
        backup_restore(root=school, source=file, passphrase=phrase, clock=clock)
    assert (rows(school), epoch_read(school / "node.sqlite3")) == (["after", "director"], epoch)
    assert not list((school / "restore").iterdir()) if (school / "restore").exists() else True
    assert work_newest(root=school, now=NOW).status is WorkStatus.FAILED


def test_tables_of_a_newer_program_are_refused_and_of_an_older_one_brought_up(school):
    with closing(sqlite3.connect(school / "node.sqlite3")) as database, database:
        database.execute("DELETE FROM django_migrations WHERE app = 'stick'")
        database.execute("DROP TABLE stick_sticktrip")
    old = made(school)
    restored(school, old)
    assert rows(school, "SELECT name FROM sqlite_master WHERE name = 'stick_sticktrip'") == ["stick_sticktrip"]
    restore_keep(root=school)
    with closing(sqlite3.connect(school / "node.sqlite3")) as database, database:
        database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('chat', '0099_voice', '')")
    old.unlink()
    with pytest.raises(BackupTooNew):
        restored(school, made(school))
    with pytest.raises(BackupTooNew):
        migrations_check(school / "node.sqlite3", known=set())


def test_a_stick_that_cannot_be_written_says_so_and_nothing_is_left(school, tmp_path):
    if os.geteuid() == 0:
        with pytest.raises(StickGone):
            made(school, tmp_path / "nowhere" / "folder")
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(StickForbidden):
            made(school, tmp_path / "locked" / "folder")
    assert not (school / "backup-snapshot.sqlite3").exists()
    assert backup_newest_at(school) is None


def test_the_room_is_looked_at_before_anything_is_written(school, monkeypatch):
    usage = shutil.disk_usage(school)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=70_000_000 - 4_000_000))
    with pytest.raises(DiskFull) as refused:
        made(school)
    assert refused.value.fields["needed_bytes"] > refused.value.fields["free_bytes"]
    assert [path.name for path in local_folder(school).iterdir()] == []


def test_backups_on_this_pc_and_on_sticks_are_listed_with_their_day_newest_first(school, tmp_path):
    stick = tmp_path / "KINGSTON"
    stick.mkdir()
    here = made(school)
    later = backup_make(
        root=school, folder=stick / "soro-backups", passphrase=PHRASE, clock=lambda: NOW + timedelta(days=1)
    )
    (stick / "soro-backups" / "broken.soro-backup").write_bytes(b"SOROBAK1")
    os.mkfifo(stick / "soro-backups" / "pipe.soro-backup")
    (stick / "soro-backups" / "link.soro-backup").symlink_to(here)
    media = [Medium(place=stick, name="KINGSTON", free_bytes=1, is_prepared=False)]
    found = backups_find(root=school, media=media)
    assert [(file.path, file.medium) for file in found] == [(later, "KINGSTON"), (here, "")]
    assert found[0].size_bytes == later.stat().st_size


def test_a_second_work_waits_for_the_first_and_one_that_was_asked_to_stop_leaves_nothing(school):
    work = Work(kind=WorkKind.MAKE, started_at=NOW)
    with work_hold(root=school, work=work, clock=clock) as heard:
        with pytest.raises(BackupUnderWay):
            made(school)
        with pytest.raises(BackupUnderWay):
            work_announce(root=school, kind=WorkKind.MAKE, now=NOW)
        work_stop(school)
        with pytest.raises(BackupStopped):
            heard(WorkStep.WRITE, 1, 2)
        # What is being changed over is not stopped half-way.
        heard(WorkStep.SWAP, 1, 2)
    assert work_newest(root=school, now=NOW).status is WorkStatus.DONE
    assert made(school).exists()


def test_an_announced_work_whose_process_never_came_counts_as_cut_after_a_minute(school):
    work_announce(root=school, kind=WorkKind.RESTORE, now=NOW)
    assert work_newest(root=school, now=NOW + timedelta(seconds=59)).status is WorkStatus.RUNNING
    late = work_newest(root=school, now=NOW + timedelta(seconds=61))
    assert (late.status, late.error_code) == (WorkStatus.FAILED, "backup_cut")


def test_a_copy_is_of_one_moment_while_others_write(school, tmp_path):
    """Two rows always change together; no copy may show one without the other."""
    with closing(sqlite3.connect(school / "node.sqlite3")) as database, database:
        database.execute("CREATE TABLE pair (name TEXT, number INTEGER)")
        database.execute("INSERT INTO pair VALUES ('a', 0), ('b', 0)")
    stopping = threading.Event()

    def write():
        with closing(sqlite3.connect(school / "node.sqlite3", timeout=20)) as database:
            while not stopping.is_set():
                with database:
                    database.execute("UPDATE pair SET number = number + 1")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = []
        for number in range(20):
            copy = tmp_path / f"{number}.sqlite3"
            snapshot_write(database=school / "node.sqlite3", into=copy, heard=lambda _done, _total: None)
            with closing(sqlite3.connect(copy)) as opened_copy:
                seen.append([row[0] for row in opened_copy.execute("SELECT number FROM pair")])
    finally:
        stopping.set()
        writer.join()
    assert all(first == second for first, second in seen)
    assert seen[-1] > seen[0]


def test_a_database_in_use_is_replaced_in_one_moment_while_others_read(school, tmp_path):
    other = tmp_path / "other.sqlite3"
    with closing(sqlite3.connect(school / "node.sqlite3")) as database, database:
        database.execute("CREATE TABLE many (number INTEGER)")
        database.executemany("INSERT INTO many VALUES (?)", [(1,)] * 200_000)
    snapshot_write(database=school / "node.sqlite3", into=other, heard=lambda _done, _total: None)
    with closing(sqlite3.connect(other)) as database, database:
        database.execute("UPDATE many SET number = 2")
    seen, stopping = [], threading.Event()

    def read():
        with closing(sqlite3.connect(school / "node.sqlite3", timeout=20)) as database:
            while not stopping.is_set():
                seen.append(database.execute("SELECT min(number), max(number), count(*) FROM many").fetchone())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        database_replace(source=other, target=school / "node.sqlite3", heard=lambda _done, _total: None)
        until = time.monotonic() + 20
        while (2, 2, 200_000) not in seen and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        stopping.set()
        reader.join()
    assert set(seen) <= {(1, 1, 200_000), (2, 2, 200_000)}
    assert seen[-1] == (2, 2, 200_000)


def killed(root, way, file, last):
    return subprocess.run(
        [sys.executable, "-m", "tests.node.killed_backup", str(root), way, str(file), str(last)],
        env=child_environment(root) | {"PYTHONPATH": str(TREE)},
        cwd=TREE,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", ["restore", "undo"])
def test_a_restore_killed_at_any_touch_of_the_disk_leaves_the_old_data_or_the_new(school, tmp_path, way):
    file = made(school)
    person_add(school, "after")
    if way == "undo":
        restored(school, file)
    old, old_epoch = rows(school), epoch_read(school / "node.sqlite3")
    copy = tmp_path / "counted"
    shutil.copytree(school, copy)
    counted = killed(copy, way, file, 0)
    touches, new = int(counted.stdout), rows(copy)
    assert old != new
    outcomes = []
    # Those around the change come last, and are tried each; of the reading before it a few will do.
    for last in sorted({*range(1, touches, max(1, touches // 3)), *range(max(1, touches - 6), touches + 1)}):
        root = tmp_path / f"killed-{last}"
        shutil.copytree(school, root)
        assert killed(root, way, file, last).returncode == -signal.SIGKILL, last
        restore_settle(root=root, now=NOW)
        found = rows(root)
        assert found in (old, new), last
        assert (epoch_read(root / "node.sqlite3") == old_epoch) == (found == old), last
        assert not (root / "restore" / "new").exists()
        assert not (root / "restore" / "plan.json").exists()
        # Either way the other side is one command away, and that works.
        if way == "restore":
            assert is_undo_possible(root) == (found == new), last
            if found == new:
                restore_undo(root=root, clock=clock)
                assert rows(root) == old
        else:
            assert is_undo_possible(root) == (found == old), last
        outcomes.append(found == new)
        shutil.rmtree(root)
    assert outcomes == sorted(outcomes)
    assert {False, True} == set(outcomes)


@pytest.mark.slow
def test_a_change_killed_in_its_midst_leaves_every_old_row(school):
    file = made(school)
    with closing(sqlite3.connect(school / "node.sqlite3")) as database, database:
        database.execute("CREATE TABLE many (words BLOB)")
        database.executemany("INSERT INTO many VALUES (?)", [(os.urandom(100_000),)] * 300)
    with closing(sqlite3.connect(school / "node.sqlite3")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    large = backup_make(root=school, folder=school / "large", passphrase=PHRASE, clock=clock)
    person_add(school, "after")
    hit = 0
    for _attempt in range(2):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.node.killed_backup", str(school), "restore", str(large), "0"],
            env=child_environment(school) | {"PYTHONPATH": str(TREE)},
            cwd=TREE,
            stdout=subprocess.DEVNULL,
        )
        while child.poll() is None and not _is_swapping(school):
            time.sleep(0.001)
        child.kill()
        child.wait()
        was_new = rows(school) == ["director"]
        restore_settle(root=school, now=NOW)
        if was_new:
            restore_undo(root=school, clock=clock)
        else:
            hit += 1
        assert rows(school) == ["after", "director"]
    assert hit
    assert file.exists()


def _is_swapping(root):
    return b'"step":"swap"' in (root / "backup.json").read_bytes() if (root / "backup.json").exists() else False


@pytest.mark.slow
def test_a_node_that_runs_on_another_pc_starts_its_page_anew_under_the_secret_that_came_along(school, tmp_path):
    file, other = made(school), tmp_path / "other"
    with node_run(other) as (_commands, address):
        page = json.loads((other / "run.json").read_bytes())["children"]["page"]
        node_command(other, "backup", "restore", str(file), says=PHRASE + "\n")
        assert (other / "keys" / "django.secret").read_bytes() == (school / "keys" / "django.secret").read_bytes()
        until = time.monotonic() + 90
        while json.loads((other / "run.json").read_bytes())["children"].get("page", page) == page:
            assert time.monotonic() < until
            time.sleep(0.2)
        while not does_answer(f"{address}/offline/"):
            assert time.monotonic() < until
            time.sleep(0.2)
    assert rows(other) == ["director"]


@pytest.mark.slow
def test_a_backup_killed_at_any_touch_of_the_disk_is_there_whole_or_not_at_all(school, tmp_path):
    folder = tmp_path / "stick" / "soro-backups"
    folder.parent.mkdir()
    # The first backup of all also draws a secret.
    made(school)
    touches = int(killed(school, "make", folder, 0).stdout)
    whole = 0
    for last in sorted({*range(1, touches, max(1, touches // 3)), *range(max(1, touches - 3), touches + 1)}):
        shutil.rmtree(folder, ignore_errors=True)
        assert killed(school, "make", folder, last).returncode == -signal.SIGKILL
        for file in folder.glob("*.soro-backup"):
            with file.open("rb") as stream:
                list(opened_pieces(stream=stream, heading=heading_read(stream), passphrase=PHRASE.encode()))
            whole += 1
    # The next one clears away what the last cut has left, and is made.
    backup_make(root=school, folder=folder, passphrase=PHRASE, clock=lambda: NOW + timedelta(days=1))
    assert not list(folder.glob(".*"))
    assert not (school / "backup-snapshot.sqlite3").exists()
    assert whole > 0

"""A copy that is not made any more is told: by its mark, by PostgreSQL, in figures and in the admin."""

import json
import re
import shutil
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone, translation

from central.backup.ages import DATABASE_MARK, LATE_AFTER, Copy, CopyAge, archive_read, copies_read
from central.backup.alarm import backup_alarms
from central.backup.services import files_backup
from central.dashboard.alarms import environment_badge
from central.metrics.figures import figures_read
from central.trust_root import keys_make
from tests.postgresql_cluster import DEPLOY, START_SECONDS, archiving, cluster_open

WORDS = {"en": "no backup", "ru": "Нет резервной копии", "tg": "Нусхаи эҳтиётӣ нест"}
ALARMS = {"en": "Alarms", "ru": "Тревоги", "tg": "Огоҳиҳо"}


@pytest.fixture
def place(settings, tmp_path):
    settings.BACKUP_PLACE = tmp_path / "copies"
    return settings.BACKUP_PLACE


def by_copy(place):
    return {age.copy: age for age in copies_read(place)}


def figures(disk):
    told = figures_read(disk=disk, now=timezone.now())
    return {(s.name, s.labels["copy"]): s.value for family in told for s in family.samples if "copy" in s.labels}


def test_a_copy_is_late_behind_its_term_and_one_that_nobody_finds_is_late_at_once(now):
    for copy, term in LATE_AFTER.items():
        assert not CopyAge(copy=copy, made_at=now - term).is_late(now)
        assert CopyAge(copy=copy, made_at=now - term - timedelta(seconds=1)).is_late(now)
        assert CopyAge(copy=copy, made_at=None).is_late(now)


def test_every_term_leaves_room_for_two_copies_of_the_timers_and_one_night():
    minutes = int(re.search(r"OnCalendar=\*:0/(\d+)", (DEPLOY / "systemd/soro-backup-files.timer").read_text())[1])
    assert LATE_AFTER[Copy.FILES] >= 2 * timedelta(minutes=minutes)
    assert "OnCalendar=*-*-* 02:30" in (DEPLOY / "systemd/soro-backup-database.timer").read_text()
    assert timedelta(days=1) < LATE_AFTER[Copy.DATABASE] < timedelta(days=2)
    archive = (DEPLOY / "postgresql/soro-archive.conf").read_text()
    assert LATE_AFTER[Copy.LOG] >= 2 * timedelta(seconds=int(re.search(r"archive_timeout = (\d+)", archive)[1]))


def test_where_no_folder_is_named_nobody_looks_for_copies(db, disk, settings):
    settings.BACKUP_PLACE = None
    assert copies_read(None) == ()
    assert figures(disk) == {}


def test_the_files_copy_tells_when_it_was_whole(db, disk, keys, place, now):
    assert by_copy(place)[Copy.FILES].made_at is None
    made = files_backup(disk=disk, place=place / "files", now=now)
    assert by_copy(place)[Copy.FILES].made_at == made.made_at == now

    told = figures(disk)
    assert told["soro_backup_made_timestamp_seconds", "files"] == now.timestamp()
    # The tests' clock stands in the past.
    assert told["soro_backup_late", "files"] == float(timezone.now() - now > LATE_AFTER[Copy.FILES])


@pytest.mark.parametrize(
    "said", ["", "{", "[]", '{"made_at": 7}', '{"made_at": null}', '{"made_at": "yesterday"}', "{}"]
)
def test_a_mark_that_says_no_time_is_none(db, place, said):
    (place / "files").mkdir(parents=True)
    (place / "files" / "backup.json").write_text(said)
    assert by_copy(place)[Copy.FILES].made_at is None


@pytest.mark.parametrize("language", WORDS)
def test_the_admin_says_which_copy_is_missing_and_until_when_another_goes(db, disk, place, language):
    # Signed today: of metadata that ends there would be another alarm, before these.
    keys_make(now=timezone.now())
    with translation.override(language):
        missing = [str(alarm) for alarm in backup_alarms(place=place, now=timezone.now())]
        assert len(missing) == len(copies_read(place))
        assert all(WORDS[language] in text for text in missing)
        assert environment_badge(None) == [f"{ALARMS[language]}: {len(missing)}", "danger"]
        made_at = timezone.now() - LATE_AFTER[Copy.FILES] - timedelta(minutes=1)
        files_backup(disk=disk, place=place / "files", now=made_at)
        late = str(backup_alarms(place=place, now=timezone.now())[-1])
        assert f"{timezone.localtime(made_at):%Y-%m-%d %H:%M}" in late
        assert WORDS[language] not in late
        files_backup(disk=disk, place=place / "files", now=timezone.now())
        assert not [alarm for alarm in backup_alarms(place=place, now=timezone.now()) if str(alarm) == late]


def test_a_centre_on_postgresql_has_three_copies_and_an_embedded_one_its_files(db, place):
    wanted = set(Copy) if connection.vendor == "postgresql" else {Copy.FILES}
    assert set(by_copy(place)) == wanted


# PostgreSQL


@pytest.mark.slow
def test_postgresqls_archive_is_as_old_as_what_it_lacks():
    script = str(DEPLOY / "backup" / "soro-backup-database")
    with cluster_open(settings=archiving) as cluster, psycopg.connect(cluster.url, autocommit=True) as database:
        cursor = database.cursor()
        assert archive_read(cursor) is None

        began = datetime.now(UTC)
        cluster.run_as_owner(script, str(cluster.archive), "2")
        said = json.loads((cluster.archive / DATABASE_MARK).read_text())
        assert began.replace(microsecond=0) <= datetime.fromisoformat(said["made_at"]) <= datetime.now(UTC)
        assert (cluster.archive / DATABASE_MARK).stat().st_mode & 0o777 == 0o644
        assert [path.name for path in cluster.archive.iterdir() if path.name.startswith(".")] == []

        # Everything is there, however long nobody works.
        database.execute("CREATE TABLE work (number int)")
        cluster.archived()
        first, second = archived_by(cursor), archived_by(cursor)
        assert began < first < second

        # Nothing is archived any more, and something is written.
        shutil.move(cluster.archive / "wal", cluster.archive / "away")
        database.execute("INSERT INTO work VALUES (1)")
        database.execute("SELECT pg_switch_wal()")
        database.execute("INSERT INTO work VALUES (2)")
        stands = archive_read(cursor)
        assert stands < second
        assert archive_read(cursor) == stands

        shutil.move(cluster.archive / "away", cluster.archive / "wal")
        cluster.archived()
        assert archived_by(cursor) > second


def archived_by(cursor):
    """Return what is told once PostgreSQL has counted its archiver's last deed: from then on time goes by."""
    until = time.monotonic() + START_SECONDS
    while (told := archive_read(cursor)) == archive_read(cursor):
        assert time.monotonic() < until
    return told

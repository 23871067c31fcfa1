"""`central keys`: the ceremonies as an operator holds them, and what the centre does until they are over."""

import io
import json
import shutil
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from central.dashboard.alarms import environment_badge
from central.releases import tasks
from central.releases.checks import keys_check, metadata_check
from central.releases.models import ReleaseStatus
from central.releases.services import release_revoke, release_sign, releases_signed_finish
from central.trust_root import director_key
from federation.trust import tuf_publisher
from federation.trust.envelopes import ASSIGNMENT, ROUND_PLAN, envelope_open
from federation.trust.errors import SignaturesMissing
from federation.trust.keys import key_id
from federation.trust.tuf_publisher import ROOT_KEYS, targets_read, timestamp_issued_at, timestamp_refresh
from federation.wire.canonical import parse
from federation.wire.releases import Assignment
from tests.central.seasons import season_small
from tests.central.test_releases import _built

PASSPHRASE = "чор дарёи калон ва ду кӯл"


def keys(*words):
    out, err = io.StringIO(), io.StringIO()
    call_command("keys", *map(str, words), "--json", stdout=out, stderr=err)
    return json.loads(out.getvalue()), err.getvalue()


@pytest.fixture
def safe(tmp_path, disk):
    """The offline keys as `keys make NAME` leaves them on the ministry's sticks."""
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n", encoding="utf-8")
    for name in (*ROOT_KEYS, "targets"):
        encrypted = ("--encrypt", "--passphrase-file", tmp_path / "passphrase") if name == "targets" else ()
        keys("make", name, "--into", tmp_path / "safe", *encrypted)
    return tmp_path / "safe"


@pytest.fixture
def ministry(safe, tmp_path):
    """A centre whose offline keys were never on it."""
    public = tmp_path / "public"
    public.mkdir()
    for path in safe.glob("*.pub.pem"):
        shutil.copy(path, public)
    told, _ = keys("make", "--public", public)
    assert [each["role"] for each in told["waiting"]] == ["root", "targets"]
    ceremony(safe, tmp_path, "root-1", "root-2", "targets")


def ceremony(safe, tmp_path, *names):
    stick = tmp_path / "stick"
    keys("sign", "--export", stick)
    for name in names:
        keys(
            "sign",
            "--request",
            stick,
            "--key",
            safe / f"{name}.pem",
            "--yes",
            "--passphrase-file",
            tmp_path / "passphrase",
        )
    return keys("sign", "--import", stick)[0]


def test_one_command_makes_all_keys_and_repeating_it_changes_nothing(disk):
    first, _ = keys("make")
    assert keys("make")[0] == first
    shown, _ = keys("show")
    assert [role["role"] for role in shown["roles"]] == [
        "root",
        "targets",
        "snapshot",
        "timestamp",
        "director",
        "courier",
    ]
    assert all(key["path"] and key["seen"] for role in shown["roles"] for key in role["keys"])
    assert (shown["orphans"], shown["waiting"]) == ([], [])


def test_show_says_for_people_what_lies_where_it_should_not(disk):
    keys("make")
    out = io.StringIO()
    call_command("keys", "show", stdout=out)
    assert out.getvalue().count("BELONGS ON A STICK IN A SAFE") == 4
    assert "root: 2 of 3 must sign" in out.getvalue()


def test_after_a_ceremony_show_says_on_which_stick_each_key_was_last_seen(ministry, safe):
    shown, _ = keys("show")
    roles = {role["role"]: role["keys"] for role in shown["roles"]}
    assert all(key["path"] == "" for role in ("root", "targets") for key in roles[role])
    seen = {key["seen"]["name"]: key["seen"]["path"] for key in (*roles["root"], *roles["targets"]) if key["seen"]}
    assert seen == {name: str(safe / f"{name}.pem") for name in ("root-1", "root-2", "targets")}


@pytest.mark.django_db
def test_a_release_is_ready_only_when_the_targets_key_has_signed_it_elsewhere(ministry, safe, disk, tmp_path):
    release = _built(disk, tmp_path)
    with pytest.raises(SignaturesMissing):
        release_sign(release=release, disk=disk, actor="t", now=timezone.now())
    release.refresh_from_db()
    assert (release.status, targets_read(root=disk.tuf)) == (ReleaseStatus.AWAITING_SIGNATURE, ())
    assert releases_signed_finish(disk=disk, now=timezone.now()) == 0
    told = ceremony(safe, tmp_path, "targets")
    assert (told["in_force"], told["waiting"]) == (["targets"], [])
    tasks.releases_sweep()
    release.refresh_from_db()
    assert release.status == ReleaseStatus.READY


@pytest.mark.django_db
def test_a_release_is_revoked_at_once_although_the_targets_key_is_away(ministry, safe, disk, tmp_path):
    release = _built(disk, tmp_path)
    with pytest.raises(SignaturesMissing):
        release_sign(release=release, disk=disk, actor="t", now=timezone.now())
    ceremony(safe, tmp_path, "targets")
    releases_signed_finish(disk=disk, now=timezone.now())
    release.refresh_from_db()
    release_revoke(release=release, disk=disk, actor="t", reason="wrong answers", now=timezone.now())
    assert release.status == ReleaseStatus.REVOKED
    assert release.target_path in targets_read(root=disk.tuf)
    ceremony(safe, tmp_path, "targets")
    assert targets_read(root=disk.tuf) == ()


def test_whoever_does_not_type_yes_has_signed_nothing(ministry, safe, disk, tmp_path, monkeypatch):
    keys("renew", "targets")
    stick = tmp_path / "stick"
    keys("sign", "--export", stick)
    before = (stick / "staged" / "targets.json").read_bytes()
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    with pytest.raises(CommandError):
        keys("sign", "--request", stick, "--key", safe / "targets.pem")
    assert (stick / "staged" / "targets.json").read_bytes() == before


def test_a_passphrase_may_not_be_short(disk, tmp_path, monkeypatch):
    monkeypatch.setenv("SORO_KEY_PASSPHRASE", "short")
    with pytest.raises(CommandError):
        keys("make", "root-1", "--into", tmp_path / "stick", "--encrypt")
    assert not (tmp_path / "stick").exists()


def test_refusals_are_one_sentence(disk, tmp_path):
    keys("make")
    for words in (("rotate", "root"), ("revoke", "00000000"), ("sign", "--export", tmp_path / "stick"), ("sign",)):
        with pytest.raises(CommandError) as refused:
            keys(*words)
        assert "tell the centre" not in str(refused.value)


def test_check_deploy_names_each_offline_key_on_the_server_and_a_ministry_has_none(disk):
    assert keys_check() == []
    keys("make")
    assert len(keys_check()) == 4
    shutil.rmtree(disk.keys / "offline")
    assert keys_check() == []


def test_metadata_that_ends_soon_raises_an_alarm_and_a_dead_worker_shows(disk, now):
    assert (metadata_check(), environment_badge(None)) == ([], None)
    long_ago = timezone.now() - timedelta(days=25)
    tuf_publisher.repository_create(root=disk.tuf, keys=disk.keys, now=long_ago)
    assert len(metadata_check()) == 2
    assert environment_badge(None)[1] == "danger"
    tasks.timestamp_refresh()
    assert (metadata_check(), environment_badge(None)) == ([], None)


def test_damaged_metadata_is_an_alarm_and_stops_no_command(disk):
    keys("make")
    (disk.tuf / "metadata" / "1.root.json").write_bytes(b"{")
    (warning,) = metadata_check()
    assert "metadata_damaged" in warning.msg
    assert (environment_badge(None)[1], keys_check()) == ("danger", [])


def test_the_timestamp_is_signed_anew_each_day_although_nothing_changed(disk):
    now = timezone.now()
    tasks.timestamp_refresh()
    assert not disk.tuf.exists()
    tuf_publisher.repository_create(root=disk.tuf, keys=disk.keys, now=now - timedelta(hours=21))
    before = targets_read(root=disk.tuf)
    tasks.timestamp_refresh()
    issued_at = timestamp_issued_at(root=disk.tuf)
    assert issued_at >= now.replace(microsecond=0)
    tasks.timestamp_refresh()
    assert (timestamp_issued_at(root=disk.tuf), targets_read(root=disk.tuf)) == (issued_at, before)


def test_a_change_that_waits_is_named_in_the_admin_without_alarm(ministry, disk):
    keys("renew", "targets")
    assert environment_badge(None)[1] == "warning"
    assert len(metadata_check()) == 1


def test_a_new_directors_key_signs_only_once_the_targets_key_has_signed_for_it(ministry, safe, disk, tmp_path):
    old = key_id(director_key())
    told, _ = keys("rotate", "director")
    assert (key_id(director_key()), told["key_id"] != old) == (old, True)
    timestamp_refresh(root=disk.tuf, keys=disk.keys, now=timezone.now())
    assert key_id(director_key()) == old
    ceremony(safe, tmp_path, "targets")
    assert key_id(director_key()) == told["key_id"]


@pytest.mark.django_db
def test_after_a_change_of_the_directors_key_every_word_and_plan_is_signed_anew(school, disk):
    before = school.check_in().assignment
    assert school.check_in().assignment == before
    keys("rotate", "director")
    after = school.check_in().assignment
    words = [
        parse(Assignment, envelope_open(after, kind=ASSIGNMENT, key=director_key().public_key())),
        school.word(),
    ]
    assert [word.sequence for word in words] == [2, 2]


@pytest.mark.django_db
def test_an_open_round_is_offered_under_the_new_directors_key_with_the_same_plan(school, disk):
    school.running = season_small().base.digest
    before, old = school.check_in().round_plan, director_key().public_key()
    keys("rotate", "director")
    after, new = school.check_in().round_plan, director_key().public_key()
    assert envelope_open(after, kind=ROUND_PLAN, key=new) == envelope_open(before, kind=ROUND_PLAN, key=old)
    assert school.check_in().round_plan == after

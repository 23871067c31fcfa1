"""A diagnosis says what a PC is and failed at. Words, names, PINs and keys are planted wherever a node keeps any."""

import io
import json
import logging
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from node.accounts import Role, account_create
from node.chat.api_keys import api_key_create
from node.diagnosis.bundle import bundle_make
from node.diagnosis.log_lines import lines_kept
from node.outbox.models import Parcel
from node.people.models import SchoolClass
from node.people.services import class_change, class_create, pupil_create
from node.programs.services import FOLDER as PROGRAMS
from node.root import SECRETS, secret_read
from node.rounds.models import LearningSettings
from node.stick.models import StickTrip
from node.sync.enrol import node_key_keep
from node.sync.errors import CentreUnreachable
from node.sync.models import SyncLog
from tests.leaks import words_found
from tests.node.conftest import NOW, answer_make
from tests.node.textbook_files import book_read

pytestmark = pytest.mark.django_db

WORD, ANSWERED, NAME, FAMILY, TEACHER = "зумрадқаноти", "лоларухсори", "Ҷавҳарнисо", "Қаҳрамонпур", "gulrukhsor"
OF_BOOK, REASON, PLACE, HOST, PASSWORD = "насимибомдод", "хоҳишимудир", "флешкаимуҳтарам", "nomaktab.tj", "gUzArVoZhA"


@dataclass
class Planted:
    words: set
    pin: str


def files_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def head(db):
    account = account_create(username="sarvar", role=Role.HEAD)
    return User.objects.get(username=account.username)


@pytest.fixture
def planted(root, settings):
    """Leave words of people, and what opens doors, everywhere; return all of them."""
    teacher = User.objects.get(username=account_create(username=TEACHER, role=Role.TEACHER).username)
    school_class = class_create(name="6А")
    class_change(school_class=school_class, asks_pin=True, teacher_ids=[teacher.pk])
    pupil = pupil_create(school_class=school_class, last_name=FAMILY, first_name=NAME)
    key = api_key_create(username=TEACHER, name=WORD, now=NOW)
    answer_make(question=f"Чаро {WORD}?", text=f"Зеро {ANSWERED}.")
    Parcel.objects.create(
        event_id="e" * 32, record_id="r" * 32, revision=1, kind="rating", body={"prompt": WORD}, appended_at=NOW
    )
    book_read(root, f"§ 1. Боб\n\n{OF_BOOK} {OF_BOOK} меларзад.\n".encode(), title=FAMILY)
    LearningSettings.objects.create(stopped_at=NOW, stopped_by=TEACHER, stop_reason=REASON)
    SyncLog.objects.create(
        tick="t", step="check-in", started_at=NOW, seconds=1, error_code="centre_unreachable", detail=f"{WORD} {PLACE}"
    )
    SyncLog.objects.create(tick="t", step="parcels", started_at=NOW, seconds=1, error_code=f"чизе {WORD}")
    trip_leave(PLACE)
    node_key_keep(root)
    secrets = [secret_read(root / "keys" / name) for name in SECRETS]
    logs_leave(root, pupil.pin)
    (root / "logs" / f"{NAME}.log").write_text(WORD, encoding="utf-8")
    (root / "backups").mkdir()
    (root / "backups" / f"{FAMILY}.soro-backup").write_text(WORD, encoding="utf-8")
    (root / PROGRAMS / "1.2.0").mkdir(parents=True)
    (root / PROGRAMS / "1.2.0" / "wheel").write_text(WORD, encoding="utf-8")
    pem = "".join((root / "keys" / "node.pem").read_text().splitlines()[1:-1])
    words = {
        WORD, ANSWERED, NAME, FAMILY, TEACHER, OF_BOOK, REASON, PLACE, HOST, PASSWORD,
        school_class.code, pem[:40], pem[40:80], *secrets, key.text,
    }  # fmt: skip
    return Planted(words, pupil.pin)


def trip_leave(place):
    StickTrip.objects.create(
        way="bring_in", place=f"/media/{place}", status="failed", error_code="stick_gone",
        error_fields={"place": place}, outcome={"told": WORD}, started_at=NOW, ended_at=NOW,
    )  # fmt: skip


def logs_leave(root, pin):
    try:
        int(f"{WORD}{pin}")
    except ValueError:
        broken = logging.Formatter().formatException(sys.exc_info())
    (root / "logs").mkdir(exist_ok=True)
    lines = [
        "2026-11-24 09:00:00,000 WARNING node.sync.loop no contact: centre_unreachable, url=http://x, problem=No",
        f"2026-11-24 09:00:01,000 INFO node.https.services https: switched on by {TEACHER}",
        f"2026-11-24 09:00:02,000 ERROR node.chat.serving {WORD} {pin}",
        f"2026-11-24 09:00:03,000 INFO {NAME} {WORD}",
        "2026-11-24 09:00:04,000 INFO node.sync.loop contact held: 812 bytes up, 96 down, failed steps: none",
        "2026-11-24 09:00:05,000 ERROR django.request Internal Server Error: /c/",
        *broken.splitlines(),
        f"{WORD}Error: {pin}",
        f'  File "/media/{PLACE}.py", line 1, in {NAME}',
        pin,
    ]
    (root / "logs" / "sync.log").write_text("\n".join(lines), encoding="utf-8")


def test_no_word_of_a_person_no_pin_and_no_key_is_in_a_bundle(root, planted):
    environ = {
        "SORO_NODE_HOSTS": HOST,
        "SORO_NODE_STICKS": f"/{PLACE}",
        "SORO_SECRET": PASSWORD,
        "SORO_NODE_PROXIES": "1",
    }
    files = files_of(bundle_make(root=root, now=timezone.now(), environ=environ))

    said = [*files.values(), *(name.encode() for name in files)]
    # Otherwise the search would be blind.
    assert words_found(said, {"centre_unreachable", "stick_gone"}) == {"centre_unreachable", "stick_gone"}
    assert words_found(said, planted.words) == set()
    assert [
        text for content in files.values() for text in texts_of(content) if re.search(rf"\b{planted.pin}\b", text)
    ] == []


def texts_of(content):
    """Return all texts of a file without its numbers and times, among which a PIN's four digits may stand by chance."""
    try:
        told = json.dumps(json.loads(content, parse_int=lambda _: "", parse_float=lambda _: ""), ensure_ascii=False)
    except ValueError:
        told = content.decode()
    return [re.sub(r"\d{4}-\d\d-\d\d[ T][\d:,.]+", "", line) for line in told.splitlines()]


def test_a_bundle_tells_what_failed_and_how_much_there_is(root, planted):
    files = files_of(
        bundle_make(root=root, now=timezone.now(), environ={"SORO_NODE_PROXIES": "1", "SORO_NODE_HOSTS": HOST})
    )
    read = {name: json.loads(content) for name, content in files.items() if name.endswith(".json")}

    assert [part for part in read.values() if isinstance(part, dict) and "unreadable" in part] == []
    assert [row["error_code"] for row in read["contacts.json"]] == ["…", "centre_unreachable"]
    assert read["sticks.json"][0]["error_code"] == "stick_gone"
    assert read["settings.json"]["environment"] == {"SORO_NODE_HOSTS": "(set)", "SORO_NODE_PROXIES": "1"}
    assert read["tables.json"]["rows"]["chat_turn"] == 1
    assert read["tables.json"]["is_whole"]
    assert read["tables.json"]["parcels_waiting"] == 1
    assert read["files.json"]["folders"]["backups"]["files"] == 1
    assert read["files.json"]["folders"][PROGRAMS] == {"files": 1, "bytes": len(WORD.encode())}
    assert read["files.json"]["keys"]["node.pem"] == "-rw-------"
    assert read["centre.json"]["enrolment"] == "not_enrolled"
    assert read["machine.json"]["memory_bytes"] > 0
    assert read["versions.json"]["packages"]["Django"]
    assert sum(map(len, files.values())) < 100_000


def test_of_a_log_our_own_sentences_stay_with_numbers_and_codes(root, planted):
    told = files_of(bundle_make(root=root, now=timezone.now(), environ={}))["logs/sync.txt"].decode().splitlines()

    assert told == [
        "2026-11-24 09:00:00,000 WARNING node.sync.loop no contact: centre_unreachable",
        "2026-11-24 09:00:01,000 INFO node.https.services https: switched … by …",
        "2026-11-24 09:00:02,000 ERROR node.chat.serving …",
        "2026-11-24 09:00:04,000 INFO node.sync.loop contact held: 812 bytes up, 96 down, failed steps: …",
        "2026-11-24 09:00:05,000 ERROR django.request …",
        told[5],
        "    ValueError",
        told[7],
    ]
    assert re.fullmatch(r"\([5-7] other lines are not shown\)", told[7])
    assert told[5].startswith("    tests/node/test_diagnosis.py:")


def test_a_sentence_that_the_program_logs_is_recognised_as_it_is_written(caplog):
    logger = logging.getLogger("node.sync.loop")
    logger.warning("no contact: %s", CentreUnreachable(url=f"http://{HOST}", problem=WORD))
    shape = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")

    told = lines_kept([shape.format(record) for record in caplog.records])

    assert told[0].endswith("WARNING node.sync.loop no contact: centre_unreachable")


def test_a_damaged_database_and_key_are_told_and_end_nothing(tmp_path):
    root = tmp_path / "node"
    (root / "keys").mkdir(parents=True)
    (root / "node.sqlite3").write_bytes(b"SQLite format 3\x00" + WORD.encode() * 400)
    (root / "node.json").write_text(WORD, encoding="utf-8")
    command = [sys.executable, "manage.py", "node", "diagnose", str(tmp_path / "told.zip"), "--root", str(root)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2]
    )

    assert (done.returncode, done.stderr) == (0, "")
    files = files_of((tmp_path / "told.zip").read_bytes())
    assert json.loads(files["tables.json"]) == {"unreadable": "DatabaseError"}
    assert json.loads(files["centre.json"])["enrolment"] == "malformed_document"
    assert json.loads(files["machine.json"])["cores"] >= 1
    assert words_found(files.values(), {WORD}) == set()


def test_what_systemd_says_is_in_the_bundle(root, tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(
        f"#!/bin/sh\necho NRestarts=3\necho Result=oom-kill\necho Environment={PASSWORD}\n"
    )
    (programs / "journalctl").write_text(
        "#!/bin/sh\necho '2026-11-24 09:00:00,000 WARNING federation.processes engine ended with status -9; "
        f"starts again in 2 s (see /{PLACE})'\necho {WORD}\n"
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")

    files = files_of(bundle_make(root=root, now=timezone.now(), environ={}))

    assert json.loads(files["service.json"]) == {"NRestarts": "3", "Result": "oom-kill"}
    assert files["logs/journal.txt"].decode().splitlines() == [
        "2026-11-24 09:00:00,000 WARNING federation.processes engine ended with status -9; starts again in 2 s (see …)",
        "(1 other lines are not shown)",
    ]


def test_the_head_downloads_a_bundle_or_leaves_it_on_a_stick(client, root, head, settings, tmp_path):
    stick = tmp_path / "STICK"
    stick.mkdir()
    settings.NODE_STICK_FOLDERS = [stick]
    client.force_login(head)

    assert "Ташхис" in client.get(reverse("status")).text
    downloaded = client.post(reverse("diagnosis-make"), {"place": "here"})
    assert downloaded["Content-Disposition"].startswith('attachment; filename="soro-diagnosis-school-')
    assert "status.json" in files_of(downloaded.content)

    shown = client.post(reverse("diagnosis-make"), {"place": str(stick)})
    (written,) = stick.iterdir()
    assert written.name in shown.text
    assert "versions.json" in files_of(written.read_bytes())

    assert client.post(reverse("diagnosis-make"), {"place": "/etc"}).status_code == 404


def test_a_stick_that_cannot_be_written_is_told_in_words(client, root, head, settings):
    client.force_login(head)
    # No file can be made there, whoever asks.
    settings.NODE_STICK_FOLDERS = [Path("/proc/self")]

    shown = client.post(reverse("diagnosis-make"), {"place": "/proc/self"})

    assert 'class="note bad"' in shown.text


def test_the_command_puts_a_bundle_into_a_folder(root, tmp_path, capsys):
    call_command("diagnose", str(tmp_path), "--json")

    file = Path(json.loads(capsys.readouterr().out)["file"])
    assert file.parent == tmp_path
    assert "tables.json" in files_of(file.read_bytes())
    assert SchoolClass.objects.count() == 0

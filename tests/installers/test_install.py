"""A PC becomes a school's node from a stick: the very command that a technician gives, against a real centre."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from node.chat.engine_client import engine_status
from node.root import engine_socket_path
from tests.fault_proxy import FaultProxy, Link
from tests.installers.conftest import QUIET, SCHOOL, everything, install, install_argv
from tests.stations import does_answer, free_port

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 600


@pytest.fixture(scope="module")
def pc(written, tmp_path_factory):
    """A PC on which the stick was used once, the stick as it is now, and what the installer said."""
    folder = tmp_path_factory.mktemp("pc")
    stick = Path(shutil.copytree(written[0], folder / "SORO"))
    ended = install(stick, folder / "root")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder / "root", stick, ended.stdout


def soro(prefix, *arguments):
    environment = QUIET | {"SORO_NODE_ROOT": str(prefix / "var/lib/soro")}
    argv = [str(prefix / "opt/soro/current/bin/soro"), *arguments]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


@contextmanager
def running(prefix):
    """Yield the address of the page of the node that was installed under `prefix`."""
    port, data = free_port(), prefix / "var/lib/soro"
    environment = QUIET | {"SORO_NODE_ROOT": str(data), "SORO_NODE_TRAINS_AT_NIGHT": "0"}
    argv = [str(prefix / "opt/soro/current/bin/soro"), "run", "--port", str(port)]
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + PATIENCE_SECONDS
        while not does_answer(f"{address}/"):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.5)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def unprogrammed(pc, folder):
    """Return a PC that has the program of `pc` and nothing else yet; its installation takes no minutes."""
    shutil.copytree(pc[0] / "opt", folder / "opt", symlinks=True)
    return folder


def nodes_of(ministry, school):
    query = (
        "SELECT node.status, node.running FROM schools_node node JOIN schools_school school"
        " ON school.id = node.school_id WHERE school.name = ? AND node.public_key != ''"
    )
    return ministry.centre.rows(query, school)


def test_a_pc_becomes_the_node_of_its_school_with_a_model_and_an_address(pc, ministry):
    prefix, stick, said = pc
    data = prefix / "var/lib/soro"

    assert json.loads((data / "node.json").read_bytes())["school"] == SCHOOL
    assert [status for status, _running in nodes_of(ministry, SCHOOL)] == ["active"]
    assert json.loads((data / "state.json").read_bytes())["current"] == ministry.release
    assert not (stick / "code.txt").exists()
    sheet = (stick / "soro-address.html").read_text(encoding="utf-8")
    assert SCHOOL in sheet
    for word in said.split():
        if word.startswith("http://"):
            assert word in sheet
    assert sheet.count("<svg") == min(3, sum(word.startswith("http://") for word in said.split()))
    assert oct((data / "node.json").stat().st_mode & 0o777) == "0o600"


def test_the_installed_node_answers_loads_the_model_and_reports_to_the_centre(pc, ministry):
    prefix = pc[0]
    data = prefix / "var/lib/soro"
    with running(prefix) as address:
        until = time.monotonic() + PATIENCE_SECONDS
        # Until it is committed, a release on trial is not what the node says it runs.
        while json.loads((data / "state.json").read_bytes())["phase"] != "committed":
            assert time.monotonic() < until
            time.sleep(0.5)
        status = engine_status(socket_path=engine_socket_path(data))
        page = httpx.get(f"{address}/", timeout=60)
        held = soro(prefix, "sync", "--once", "--json")

    assert status is not None
    assert status.release == ministry.release
    assert '<html lang="tg">' in page.text
    assert "<textarea" in page.text
    assert json.loads(held.stdout)["failures"] == {}, held.stderr
    assert nodes_of(ministry, SCHOOL) == [("active", ministry.release)]


def test_the_same_command_again_changes_nothing_and_needs_no_code(pc):
    prefix, stick, said = pc
    before = everything(prefix / "opt"), (prefix / "var/lib/soro/node.json").read_bytes()

    ended = install(stick, prefix)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-2:] == said.splitlines()[-2:]
    assert (everything(prefix / "opt"), (prefix / "var/lib/soro/node.json").read_bytes()) == before


def _wheel_altered(stick):
    path = next((stick / "wheels").glob("django-*"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _wheel_added(stick):
    shutil.copy(next((stick / "wheels").glob("ifaddr-*")), stick / "wheels" / "ifaddr-9.9-py3-none-any.whl")


def _model_missing(stick):
    next((stick / "soro/blobs").rglob("*.0000")).unlink()


def _list_altered(stick):
    envelope = (stick / "manifest.json").read_text()
    at = envelope.index('"payload":"') + 40
    (stick / "manifest.json").write_text(envelope[:at] + ("A" if envelope[at] != "A" else "B") + envelope[at + 1 :])


def _list_by_another(stick):
    envelope = json.loads((stick / "manifest.json").read_bytes())
    envelope["signatures"][0]["sig"] = "A" * 86 + "=="
    (stick / "manifest.json").write_text(json.dumps(envelope))


def _list_missing(stick):
    (stick / "manifest.json").unlink()


@pytest.mark.parametrize(
    "harm", [_wheel_altered, _wheel_added, _model_missing, _list_altered, _list_by_another, _list_missing]
)
def test_a_stick_that_was_tampered_with_is_refused_and_nothing_is_changed(harm, stick, tmp_path):
    harm(stick)
    before = everything(stick)
    prefix = tmp_path / "root"
    prefix.mkdir()

    ended = install(stick, prefix)

    assert ended.returncode == 1
    assert "Nothing was changed." in ended.stderr
    assert len(ended.stderr.splitlines()) == 3
    assert list(prefix.iterdir()) == []
    assert everything(stick) == before


def test_a_full_disk_is_refused_with_the_room_that_is_needed(stick, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("mounting needs root")
    try:
        ended = install(stick, disk)
        left = list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)

    assert ended.returncode == 1
    assert "has too little room" in ended.stderr
    assert "0.0 GB are free" in ended.stderr
    assert left == []
    assert (stick / "code.txt").exists()


def test_an_older_stick_does_not_replace_a_newer_program(pc, stick, tmp_path):
    prefix = unprogrammed(pc, tmp_path / "root")
    path = prefix / "opt/soro/current/manifest.json"
    newer = json.loads(path.read_bytes()) | {"version": "9", "made_at": (datetime.now(UTC) + timedelta(1)).isoformat()}
    path.write_text(json.dumps(newer))
    before = everything(prefix)

    ended = install(stick, prefix)

    assert ended.returncode == 1
    assert "already runs a newer program" in ended.stderr
    assert everything(prefix) == before


def test_it_can_be_cut_anywhere_and_finds_the_data_of_a_program_that_was_removed(pc, written, tmp_path):
    prefix = tmp_path / "root"
    shutil.copytree(pc[0], prefix, symlinks=True)
    stick = Path(shutil.copytree(written[0], tmp_path / "SORO"))
    data = everything(prefix / "var/lib/soro")
    assert (prefix / "etc/udev/rules.d/90-soro-stick.rules").exists()
    assert (prefix / "etc/systemd/system/soro-stick@.service").exists()
    removed = install(stick, prefix, "--uninstall")
    assert removed.returncode == 0, removed.stderr
    assert not (prefix / "opt/soro").exists()
    assert [path for path in (prefix / "etc").rglob("*") if path.is_file()] == [prefix / "etc/soro/environment"]
    assert everything(prefix / "var/lib/soro") == data

    incoming = prefix / "opt/soro/versions/.incoming"
    for sign in (incoming / "bin", incoming / "venv/bin/python", incoming / "venv/lib"):
        _cut_when(stick, prefix, sign.exists)
        assert not (prefix / "opt/soro/current").exists()
    _cut_when(stick, prefix, lambda: any(incoming.rglob("django")))
    ended = install(stick, prefix)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not incoming.exists()
    assert (prefix / "var/lib/soro/node.json").read_bytes() == data["node.json"]
    assert soro(prefix, "check").returncode == 0


def _cut_when(stick, prefix, is_there):
    """Kill the installer and all that it has started, as a power cut would, once `is_there`."""
    shutil.rmtree(prefix / "opt/soro/versions/.incoming", ignore_errors=True)
    process = subprocess.Popen(
        install_argv(stick, prefix),
        env=QUIET,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_there():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_school_without_a_link_gets_its_model_at_once_and_its_name_with_the_next_stick(pc, ministry, tmp_path):
    prefix, stick, school = unprogrammed(pc, tmp_path / "root"), tmp_path / "SORO", "Мактаби №2"
    nowhere = f"http://127.0.0.1:{free_port()}"
    ministry.stick(stick, school=school, address=nowhere)

    ended = install(stick, prefix)

    data = prefix / "var/lib/soro"
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not (data / "node.json").exists()
    # One sentence of the installer's own, and none of the command's, which have the stick taken out: the model is still
    # to be read from it.
    said = ended.stdout.splitlines()
    enrolling, next_step = (next(at for at, line in enumerate(said) if line.startswith(step)) for step in ("[5", "[6"))
    assert next_step - enrolling == 2, ended.stdout
    assert not (stick / "code.txt").exists()
    assert json.loads((data / "state.json").read_bytes())["current"] == ministry.release
    assert list((stick / "soro/returns").rglob("enrolment.sealed"))

    assert ministry.centre.ask("stick_read", place=str(stick))["problems"] == []
    ministry.centre.ask("stick_write", place=str(stick))
    brought = soro(prefix, "bundle", "import", str(stick))
    assert json.loads((data / "node.json").read_bytes())["school"] == school, brought.stdout + brought.stderr
    assert json.loads((data / "state.json").read_bytes())["current"] == ministry.release


def test_a_school_whose_link_comes_after_the_technician_has_left_enrols_by_itself(pc, ministry, tmp_path):
    prefix, stick, school = unprogrammed(pc, tmp_path / "root"), tmp_path / "SORO", "Мактаби №5"
    data = prefix / "var/lib/soro"
    with FaultProxy(ministry.centre.url, link=Link(request_loss=1.0)) as proxy:
        ministry.stick(stick, school=school, address=proxy.url)
        ended = install(stick, prefix)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert not (data / "node.json").exists()
        assert not (stick / "code.txt").exists()
        assert list((stick / "soro/returns").rglob("enrolment.sealed"))

        proxy.link = Link()
        held = soro(prefix, "sync", "--once")
        assert json.loads((data / "node.json").read_bytes())["school"] == school, held.stdout + held.stderr
        assert not (data / "claim.json").exists()

    # The request by stick that was under way meanwhile makes no second PC.
    assert ministry.centre.ask("stick_read", place=str(stick))["problems"] == []
    assert len(nodes_of(ministry, school)) == 1


def test_a_code_on_paper_is_not_on_the_stick_and_voids_the_one_before(pc, ministry, tmp_path):
    school, first, second = "Мактаби №3", tmp_path / "first", tmp_path / "second"
    ministry.stick(first, school=school)
    paper = tmp_path / "sheet.pdf"
    ministry.stick(second, school=school, options=("--sheet", str(paper)))

    assert paper.read_bytes().startswith(b"%PDF")
    assert oct(paper.stat().st_mode & 0o777) == "0o600"
    assert not (second / "code.txt").exists()
    ended = install(first, unprogrammed(pc, tmp_path / "root"))
    assert ended.returncode == 0, ended.stderr
    assert not (tmp_path / "root/var/lib/soro/node.json").exists()
    assert nodes_of(ministry, school) == []
    # The code stays, because a person may yet see why it was refused.
    assert (first / "code.txt").exists()


def test_nothing_secret_but_the_code_lies_on_the_stick(ministry, written, stick):
    code = (stick / "code.txt").read_text().strip()
    keys = b"".join(path.read_bytes() for path in (ministry.centre.root / "keys").rglob("*.pem"))
    private = re.findall(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", keys, re.DOTALL)
    lines = {line for key in private for line in key.splitlines() if line}

    assert code
    assert len(private) >= 6
    for path in stick.rglob("*"):
        if path.is_file() and path.suffix != ".whl":
            content = path.read_bytes()
            assert not [line for line in lines if line in content], path
            assert path.name == "code.txt" or code.encode() not in content, path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--school", "Мактаби №99"), "Мактаби №99"),
        (("--school", "Мактаби №8", "--release", "99"), "99"),
    ],
)
def test_a_stick_for_nobody_or_of_nothing_is_refused_before_it_is_begun(options, said, ministry, tmp_path):
    ended = ministry.command("installer", "build", *options, str(tmp_path))

    assert ended.returncode == 1
    assert said in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_units(pc):
    prefix = pc[0]
    here = prefix / "units"
    here.mkdir()
    for path in (prefix / "etc/systemd/system").iterdir():
        # The program lies under another root here, and its user is not made.
        text = path.read_text(encoding="utf-8").replace("User=soro", "User=root").replace("Group=soro", "Group=root")
        (here / path.name).write_text(text.replace("/opt/soro/", f"{prefix}/opt/soro/"), encoding="utf-8")
    units = sorted(here.iterdir())

    judged = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)

    names = ["soro-stick@.service", "soro-update.service", "soro-update.timer", "soro.service"]
    assert [path.name for path in units] == names
    assert "soro" not in judged.stderr, judged.stderr


def test_an_installed_pc_has_what_an_update_needs(pc, ministry):
    opt, stick = pc[0] / "opt/soro", pc[1]
    manifest = json.loads((opt / "current/manifest.json").read_bytes())
    published = ministry.centre.rows("SELECT version, index_bytes FROM programs_program")

    assert (opt / "updater").readlink() == (opt / "current").readlink()
    # Root follows the metadata from the root that the signed list names.
    bootstrap = (opt / "tuf/bootstrap.root.json").read_bytes()
    assert hashlib.sha256(bootstrap).hexdigest() == manifest["root_sha256"]
    # The wheels lie with the program, so that its first update fetches what has changed alone.
    assert published == [(manifest["version"], (opt / "current/index.json").read_bytes())]
    kept = {path.name for path in (opt / "current/wheels").glob("*.whl")}
    assert kept == {path.name for path in (stick / "wheels").glob("*.whl")}
    # Where nothing lies ready, nothing is changed.
    before = everything(opt / "current")
    places = ["--opt", str(opt), "--data", str(pc[0] / "var/lib/soro")]
    argv = [str(opt / "updater/bin/soro-update"), *places, "--serving-seconds", "30", "--settle-seconds", "5"]
    ended = subprocess.run(argv, env=QUIET, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert everything(opt / "current") == before


@pytest.mark.parametrize("breaks", [False, True])
def test_an_engine_that_cannot_run_the_schools_model_fails_the_rehearsal(pc, tmp_path, breaks):
    prefix = pc[0]
    python = prefix / "opt/soro/current/venv/bin/python"
    program = Path(shutil.copytree(prefix / "opt/soro/current/", tmp_path / "program", symlinks=True))
    if breaks:
        (engine,) = program.glob("venv/lib/*/site-packages/federation/inference/self_test.py")
        engine.write_text("raise SystemExit(1)\n")
    data = Path(shutil.copytree(prefix / "var/lib/soro", tmp_path / "data", symlinks=True))
    (data / "programs").mkdir(exist_ok=True)
    argv = [str(python), "-m", "node.updater.as_user", "rehearse", f"--data={data}", f"--program={program}"]

    ended = subprocess.run(
        [*argv, "--patience-seconds=120"],
        env=QUIET | {"PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert json.loads(ended.stdout)["code"] == ("self_test_crashed" if breaks else ""), ended.stderr
    assert not (data / "programs/rehearsal").exists()

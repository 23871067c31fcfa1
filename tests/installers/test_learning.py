"""A stick brings what learning takes: a PC learns wherever it can, and is told in a sentence why where it cannot."""

import json
import shutil
import subprocess
from collections import namedtuple
from pathlib import Path

import pytest

from tests.installers.conftest import QUIET, everything, install

pytest.importorskip("central", reason="sticks are made with the centre's code")

from central.installers.target import install as installer
from central.installers.target.install import PYTHON_TAG, Place, Refused, form_choose
from central.installers.target.words import LANGUAGES, WORDS
from federation.wire.programs import LEARNING

GIB = 1024**3
HERE = PYTHON_TAG.replace("cp3", "3.")
MANIFEST = {
    "version": "9",
    "needs_bytes": 1,
    "learning": [HERE],
    "learning_bytes": 1,
    "learning_memory_bytes": 3 * GIB,
}
LEARNS, LEAN = f"{PYTHON_TAG}{LEARNING}", PYTHON_TAG
AS_MUCH_AS_NO_DISK_HAS = 2**62


def chosen(tmp_path, capsys, *, memory_bytes=8 * GIB, is_lean=False, **differs):
    """Return the form that is chosen, and what is said of it in the end."""
    form, told = form_choose(Place(tmp_path), MANIFEST | differs, is_lean=is_lean, memory_bytes=memory_bytes)
    told()
    return form, capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("differs", "form", "said"),
    [
        ({}, LEARNS, "At night this PC learns"),
        ({"is_lean": True}, LEAN, "As you wished"),
        ({"learning": []}, LEAN, "This stick has nothing to learn with"),
        ({"learning": ["3.99"]}, LEAN, f"for Python 3.99, and this PC has Python {HERE}"),
        ({"memory_bytes": 2 * GIB}, LEAN, "Learning needs 3.2 GB of memory, and this PC has 2.1 GB"),
        ({"learning_bytes": AS_MUCH_AS_NO_DISK_HAS}, LEAN, "Learning needs 4611686018.4 GB on the disk"),
    ],
)
def test_a_pc_learns_wherever_it_can_and_says_why_where_it_cannot(differs, form, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")

    found, told = chosen(tmp_path, capsys, **differs)

    assert found == form
    assert said in told


@pytest.mark.parametrize("differs", [{"learning": []}, {"learning": ["3.99"]}, {"memory_bytes": 2 * GIB}])
def test_a_pc_that_learns_is_made_lean_by_a_persons_wish_alone(differs, tmp_path, capsys):
    current = Place(tmp_path).current
    current.mkdir(parents=True)
    (current / "variant").write_text(LEARNS)

    with pytest.raises(Refused) as refused:
        chosen(tmp_path, capsys, **differs)
    assert refused.value.tail == "learns_already"
    assert chosen(tmp_path, capsys, **differs, is_lean=True)[0] == LEAN


def test_what_is_laid_lean_is_no_room_for_what_learns(tmp_path, capsys, monkeypatch):
    place = Place(tmp_path)
    lean = place.versions / f"{MANIFEST['version']}-{LEAN}"
    lean.mkdir(parents=True)
    (lean / "laid").write_bytes(b"x" * 10**6)
    room = namedtuple("room", "free")(400_000)
    monkeypatch.setattr(installer.shutil, "disk_usage", lambda _path: room)

    needs = {"needs_bytes": 900_000, "learning_bytes": 300_000}

    assert installer.disk_shortage(place, MANIFEST | needs, LEAN) == {}
    assert installer.disk_shortage(place, MANIFEST | needs, LEARNS)["wanted"] == "0.0"
    assert chosen(tmp_path, capsys, **needs)[0] == LEAN


@pytest.mark.slow
def test_a_stick_makes_a_lean_pc_learn_and_no_other_stick_takes_that_away(ministry, written, tmp_path):
    prefix, stick, lean = tmp_path / "root", tmp_path / "SORO", Path(shutil.copytree(written[0], tmp_path / "LEAN"))
    first = install(lean, prefix)
    assert first.returncode == 0, first.stderr
    assert status(prefix)["can_train"] is False
    made = ministry.stick(stick, school="Мактаби №6", is_lean=False)

    ended = install(stick, prefix)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert WORDS["learns"][0] in ended.stdout
    told = status(prefix)
    assert (told["can_train"], told["program"]["form"]) == (True, LEARNS)
    assert made["learning"] == [HERE]
    current = prefix / "opt/soro/current"
    trainer = [str(current / "venv/bin/python"), "-c", "import federation.learning.school_update, flwr.client"]
    assert subprocess.run(trainer, env=QUIET, capture_output=True, check=False).returncode == 0
    # The wheels lie with the program, for an update to take what has not changed from there.
    entries = {each["name"]: each["files"] for each in json.loads((current / "index.json").read_bytes())["variants"]}
    assert all((current / each["path"]).is_file() for each in entries[LEARNS])
    sizes = {each["path"]: each["size_bytes"] for each in entries[LEARNS]}
    assert {path: (current / path).stat().st_size for path in sizes} == sizes

    before = everything(current / "bin"), (prefix / "opt/soro/current").readlink()
    refused = install(lean, prefix)
    assert refused.returncode == 1
    for spoken in range(len(LANGUAGES)):
        assert WORDS["learns_already"][spoken] in refused.stderr
    assert (everything(current / "bin"), (prefix / "opt/soro/current").readlink()) == before
    assert status(prefix)["can_train"] is True


def status(prefix):
    environment = QUIET | {"SORO_NODE_ROOT": str(prefix / "var/lib/soro")}
    argv = [str(prefix / "opt/soro/current/bin/soro"), "status", "--json"]
    ended = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)

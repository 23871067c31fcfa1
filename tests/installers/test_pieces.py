"""What an installation stick is made of: the lock, the node's own wheel, the one file that is started."""

import hashlib
import re
import string
import subprocess
import tomllib
import zipfile
from base64 import urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from federation.wire.programs import LEARNING
from node.language import operator_language
from tests.installers.conftest import PACKAGES, PYTHON, TREE

pytest.importorskip("central", reason="sticks are made with the centre's code")

from central.installers.own_wheel import own_wheel_write
from central.installers.program import program_folders, program_gather
from central.installers.services import install_script
from central.installers.target.ed25519 import ORDER, ed25519_verify
from central.installers.target.install import LEAST_MEMORY_BYTES, Place, Refused, memory_check, words
from central.installers.target.words import LANGUAGES, WORDS
from central.installers.wheels import PYTHONS, can_learn, learning_lock, lock_read, tag_of


def test_the_lock_holds_what_the_node_asks_for_in_versions_that_it_allows():
    project = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [Requirement(line) for line in (*project["dependencies"], *project["optional-dependencies"]["node"])]
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+) ", lock_read(), flags=re.MULTILINE))

    assert [str(each) for each in asked if locked.get(canonicalize_name(each.name)) not in each.specifier] == []
    assert not {"torch", "flwr", "celery", "transformers"} & set(locked)
    assert "pip" in locked


@pytest.mark.parametrize("form", ["", LEARNING])
def test_the_locks_bring_all_that_their_packages_ask_for(form, ministry):
    tag = tag_of(PYTHON)
    names, asked = set(), set()
    for path in (path for name in {tag, f"{tag}{form}"} for path in (PACKAGES / name).glob("*.whl")):
        with zipfile.ZipFile(path) as wheel:
            folder = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            text = wheel.read(folder).decode().split("\n\n")[0]
        names.add(canonicalize_name(re.search(r"^Name: (.*)$", text, re.MULTILINE)[1]))
        needs = [Requirement(line) for line in re.findall(r"^Requires-Dist: (.*)$", text, re.MULTILINE)]
        asked |= {
            canonicalize_name(each.name) for each in needs if not each.marker or each.marker.evaluate({"extra": ""})
        }

    assert names
    assert asked - names == set()


@pytest.mark.parametrize("lock", [learning_lock(python) for python in PYTHONS if can_learn(python)])
def test_what_learning_takes_is_locked_in_versions_that_it_allows_with_a_cpu_build_of_torch(lock):
    project = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [Requirement(line) for line in project["optional-dependencies"]["train"]]
    shared = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+) ", lock_read(), flags=re.MULTILINE))
    besides = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+) ", lock_read(lock), flags=re.MULTILINE))
    locked = shared | besides

    assert [str(each) for each in asked if locked.get(canonicalize_name(each.name)) not in each.specifier] == []
    assert besides["torch"].endswith("+cpu")
    assert not any(name.startswith("nvidia") for name in besides)
    # A lean PC and one that learns share what they both have.
    assert not shared.keys() & besides.keys()


def test_a_lean_program_and_one_that_learns_have_the_same_version(ministry, tmp_path):
    gathered = []
    for is_lean in (True, False):
        scratch = tmp_path / str(is_lean)
        scratch.mkdir()
        gathered.append(program_gather(pythons=(PYTHON,), kept=PACKAGES, scratch=scratch, is_lean=is_lean))
    lean, whole = gathered

    assert lean.version == whole.version
    assert {path.name for path in lean.wheels} < {path.name for path in whole.wheels}
    folders = program_folders(program=whole, into=tmp_path / "folders")
    files = [{path.name for path in folder.glob("wheels/*")} for _form, folder in sorted(folders.items())]
    assert len(folders) == 1 + can_learn(PYTHON)
    assert files[0] <= files[-1]


def test_the_nodes_own_wheel_is_the_same_each_time_and_has_no_centre(tmp_path):
    wheels = [own_wheel_write(tmp_path / name) for name in ("a", "b") if not (tmp_path / name).mkdir()]

    assert wheels[0].sha256 == wheels[1].sha256
    with zipfile.ZipFile(wheels[0].path) as wheel:
        names = wheel.namelist()
        record = next(name for name in names if name.endswith("/RECORD"))
        listed = [line.split(",") for line in wheel.read(record).decode().splitlines()]
        assert sorted(name for name, *_ in listed) == sorted(names)
        for name, digest, _size in listed:
            if name != record:
                found = urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest()).rstrip(b"=").decode()
                assert digest == f"sha256={found}"
    assert "node/settings.py" in names
    assert "node/locale/tg/LC_MESSAGES/django.mo" in names
    assert not [name for name in names if name.startswith(("central/", "tests/")) or "__pycache__" in name]


@given(st.binary(max_size=200), st.binary(min_size=32, max_size=32), st.integers(0, 511))
def test_signatures_are_judged_as_cryptography_judges_them(message, seed, bit):
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signature = key.sign(message)
    altered = bytearray(signature)
    altered[bit // 8] ^= 1 << bit % 8
    scalar = int.from_bytes(signature[32:], "little") + ORDER

    assert ed25519_verify(public, message, signature)
    assert not ed25519_verify(public, message + b"x", signature)
    assert not ed25519_verify(public, message, bytes(altered))
    # The same signature in other bytes, which RFC 8032 forbids.
    assert scalar >= 2**256 or not ed25519_verify(public, message, signature[:32] + scalar.to_bytes(32, "little"))


def test_every_sentence_is_there_in_three_languages_with_the_same_holes():
    for key, sentences in WORDS.items():
        holes = [sorted(filter(None, (part[1] for part in string.Formatter().parse(each)))) for each in sentences]
        assert len(sentences) == len(LANGUAGES), key
        assert holes[0] == holes[1] == holes[2], key


def test_the_one_file_is_both_shell_and_python(tmp_path):
    script = tmp_path / "install"
    script.write_bytes(install_script(b"\x07" * 32))

    assert subprocess.run(["dash", "-n", str(script)], check=False).returncode in (0, 2)
    compile(script.read_bytes(), "install", "exec")
    assert b"07" * 32 in script.read_bytes()
    assert b"central.installers" not in script.read_bytes()


def test_without_a_python_that_will_do_the_shell_says_so_in_three_languages(tmp_path):
    script = tmp_path / "install"
    script.write_bytes(install_script(b"\x07" * 32))
    for tool in ("cat", "sh"):
        (tmp_path / tool).symlink_to(f"/bin/{tool}")
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)

    ended = subprocess.run(
        ["sh", str(script)], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 3
    assert "This PC has no Python 3.11, 3.12 or 3.13" in ended.stderr


def test_a_pc_with_less_than_four_gigabytes_is_refused_and_one_with_four_is_not():
    # What /proc/meminfo says of PCs with 4 and 3 GiB.
    memory_check(3_916_000_000)
    with pytest.raises(Refused) as refused:
        memory_check(3 * 1024**3)
    assert refused.value.fields == {"found": "3.2"}
    assert LEAST_MEMORY_BYTES < 3_916_000_000


@pytest.mark.parametrize(
    ("locale", "spoken"),
    [({}, "tg"), ({"LANG": "C.UTF-8"}, "tg"), ({"LANG": "en_US.UTF-8"}, "en"), ({"LC_ALL": "ru_RU.UTF-8"}, "ru")],
)
def test_what_the_installer_asks_of_the_node_is_said_in_the_installers_language(locale, spoken, tmp_path, monkeypatch):
    for name in ("LC_ALL", "LC_MESSAGES", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    place = Place(tmp_path)
    (place.current / "bin").mkdir(parents=True)
    (place.current / "bin/soro").write_text("#!/bin/sh\nexec env\n")
    (place.current / "bin/soro").chmod(0o755)

    told = dict(line.split("=", 1) for line in place.soro("status").stdout.splitlines() if "=" in line)

    assert words("done") == WORDS["done"][LANGUAGES.index(spoken)]
    assert operator_language(told) == spoken
    # Which letters the terminal has is another matter.
    assert told.get("LC_CTYPE", "") == locale.get("LC_ALL", "")

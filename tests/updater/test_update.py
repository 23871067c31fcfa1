"""A PC changes its program for a newer one, over a real centre's metadata and real HTTP, with real processes."""

import hashlib
import sqlite3
import zipfile
from contextlib import closing
from dataclasses import replace

import pytest

from federation.trust.errors import ReleaseNotTrusted
from federation.wire.programs import LEARNING
from node.programs.errors import ProgramOlder
from node.programs.place import python_tag
from node.programs.services import fetched_path, ready_path
from node.programs.state import UpdatePhase
from node.root import DATABASE_NAME
from node.updater.children import ask_user
from node.updater.vouched import ready_digest
from tests.updater.conftest import OLD, PATIENCE, program_make, serves
from tests.updater.program_changes import BROKEN_MIGRATION, BROKEN_PAGE, BROKEN_RUN, NEWER_TABLE

pytestmark = pytest.mark.slow
CLASS_MADE = "INSERT INTO people_schoolclass (name, code, grade, asks_pin) VALUES ('5А', '123', 5, 1)"


def rows(database, query):
    with closing(sqlite3.connect(database)) as opened, opened:
        return opened.execute(query).fetchall()


def tables(pc):
    return {name for (name,) in rows(pc.data / DATABASE_NAME, "SELECT name FROM sqlite_master WHERE type = 'table'")}


def epoch(pc):
    return rows(pc.data / DATABASE_NAME, "SELECT name FROM outbox_epoch")


def standing(ministry, version):
    """Return what the centre has heard of the PCs that run `version`, the last first."""
    query = "SELECT failed, code FROM programs_programstanding WHERE version = ? ORDER BY heard_at DESC"
    return ministry.rows(query, version)


def test_a_newer_program_is_fetched_tried_and_runs_with_the_schools_data(ministry, pc, offer):
    version = offer(NEWER_TABLE)

    assert pc.contact() == {}
    before = epoch(pc)
    assert standing(ministry, OLD)[0] == ("", "")
    pc.update()

    assert pc.version() == version
    assert serves(pc)
    assert "chat_newer" in tables(pc)
    assert epoch(pc) == before
    assert pc.state().phase is UpdatePhase.IDLE
    assert pc.place.updater.resolve() == pc.place.current.resolve()
    assert pc.contact() == {}
    assert standing(ministry, version) == [("", "")]
    # Nothing is left of the way there: neither what was fetched, nor copies of the school's words, nor the old program.
    pc.update()
    assert [path.name for path in (pc.data / "programs").iterdir()] == ["told"]
    assert [path.resolve() for path in pc.place.versions.iterdir()] == [pc.place.current.resolve()]


def test_an_update_fetches_what_has_changed_and_no_more(pc, offer):
    offer(NEWER_TABLE)
    pc.contact()

    (fetched,) = rows(pc.data / DATABASE_NAME, "SELECT bytes_down FROM sync_synclog WHERE step = 'program'")
    held = sum(path.stat().st_size for path in fetched_path(pc.data, ready_digest(pc.data)).glob("wheels/*.whl"))
    # pip's wheel, 2 MB here and 70 MB of packages on a school's PC, lies with the program in use.
    assert 0 < fetched[0] < held / 2


@pytest.mark.parametrize(
    ("changes", "code"), [(BROKEN_MIGRATION, "program_migration_failed"), (BROKEN_PAGE, "program_page_silent")]
)
def test_a_program_that_fails_its_rehearsal_never_touches_what_serves(ministry, pc, offer, changes, code):
    version = offer(changes)
    pc.contact()
    before, process = tables(pc), pc.service.process

    pc.update()

    assert pc.version() == OLD
    assert (tables(pc), pc.service.process, pc.service.starts) == (before, process, 1)
    assert process.poll() is None
    assert [(each.version, each.code) for each in pc.state().given_up] == [(version, code)]
    assert not (pc.data / "programs" / "rehearsal").exists()
    # It is told once, and neither tried nor fetched again.
    assert pc.contact() == {}
    assert standing(ministry, OLD)[0] == (version, code)
    pc.update()
    assert len(pc.state().given_up) == 1
    assert [path.name for path in (pc.data / "programs").iterdir()] == ["told"]


@pytest.mark.parametrize("migrates", [True, False])
def test_a_program_that_does_not_serve_is_taken_back_with_the_database_that_the_older_one_knows(
    ministry, pc, offer, migrates
):
    version = offer({**BROKEN_RUN, **(NEWER_TABLE if migrates else {})})
    pc.contact()
    before = epoch(pc)

    def writes_meanwhile(data, step, *arguments):
        if step == "serves":
            said = ask_user(data, step, *arguments)
            rows(data / DATABASE_NAME, CLASS_MADE)
            return said
        return ask_user(data, step, *arguments)

    pc.update(as_user=writes_meanwhile, patience=replace(PATIENCE, serving_seconds=25))

    classes = "SELECT name FROM people_schoolclass"
    assert pc.version() == OLD
    assert serves(pc)
    assert "chat_newer" not in tables(pc)
    # What was written under a program that had changed the tables lies aside; else nothing is lost.
    assert rows(pc.data / DATABASE_NAME, classes) == ([] if migrates else [("5А",)])
    aside = pc.data / "programs" / "given-up.sqlite3"
    assert (rows(aside, classes) if migrates else aside.exists()) == ([("5А",)] if migrates else False)
    assert (epoch(pc) == before) is not migrates
    assert pc.place.updater.resolve() == pc.place.current.resolve()
    assert pc.contact() == {}
    assert standing(ministry, OLD)[0] == (version, "program_page_silent")


def test_a_wheel_that_was_altered_on_the_pc_is_refused(pc, offer):
    version = offer(NEWER_TABLE)
    pc.contact()
    wheel = next(fetched_path(pc.data, ready_digest(pc.data)).glob("wheels/soro_schools-*.whl"))
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)

    pc.update()

    assert [(each.version, each.code) for each in pc.state().given_up] == [(version, "program_damaged")]
    assert [path.resolve() for path in pc.place.versions.glob("*-cp*")] == [pc.place.current.resolve()]
    assert serves(pc)


def test_a_wheel_that_became_a_link_to_a_file_of_roots_is_not_read(pc, offer, tmp_path):
    offer(NEWER_TABLE)
    pc.contact()
    wheel = next(fetched_path(pc.data, ready_digest(pc.data)).glob("wheels/soro_schools-*.whl"))
    wheel.rename(tmp_path / "elsewhere")
    wheel.symlink_to(tmp_path / "elsewhere")

    pc.update()

    assert [each.code for each in pc.state().given_up] == ["program_damaged"]


def test_a_program_that_the_ministry_has_not_signed_or_that_is_older_is_not_taken(ministry, pc, offer):
    version = offer(NEWER_TABLE)
    pc.contact()
    pc.update()
    assert pc.version() == version
    older = ministry.rows("SELECT digest FROM programs_program WHERE version = ?", OLD)[0][0]
    index = pc.data / "tuf" / "indexes" / f"{older}.json"
    index.write_bytes(ministry.rows("SELECT index_bytes FROM programs_program WHERE version = ?", OLD)[0][0])
    starts = pc.service.starts

    for digest, refusal in ((older, ProgramOlder), ("0" * 64, ReleaseNotTrusted)):
        ready_path(pc.data).write_text(digest)
        with pytest.raises(refusal):
            pc.update()

    assert (pc.version(), pc.service.starts) == (version, starts)
    assert pc.state().given_up == ()


def test_a_program_comes_by_stick_where_no_link_is(ministry, pc, offer, tmp_path):
    version = offer(NEWER_TABLE)
    stick = tmp_path / "SORO"
    stick.mkdir()
    ministry.ask("stick_write", place=str(stick))

    pc.soro("bundle", "import", str(stick))
    pc.update()

    assert pc.version() == version
    assert serves(pc)


def brings(wheels):
    """Return what a form is given besides: a wheel that learning would take, named among what is installed."""
    path = wheels / "learner-1.0-py3-none-any.whl"
    folder = "learner-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("learner.py", "able = True\n" + "#" * 300_000)
        wheel.writestr(f"{folder}/METADATA", "Metadata-Version: 2.1\nName: learner\nVersion: 1.0\n")
        wheel.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{folder}/RECORD", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return path, f"learner==1.0 --hash=sha256:{digest}\n"


def can_learn(pc):
    return bool(list(pc.place.current.glob("venv/lib/*/site-packages/learner.py")))


@pytest.fixture
def offer_both(ministry, offer, tmp_path):
    """Return what offers a program in both forms."""

    def published(changes):
        wheel, line = brings(tmp_path)
        own = program_make(tmp_path / f"like-{len(list(tmp_path.iterdir()))}", changes)
        requirements = (own / "requirements.txt").read_text() + line
        return offer(changes, {f"wheels/{wheel.name}": wheel.read_bytes(), "requirements.txt": requirements.encode()})

    return published


def becomes_learning(pc):
    """Do as the stick that changes a lean program for one that learns; what it lays is tried with the installer."""
    (pc.place.current / "variant").write_text(python_tag() + LEARNING)


def test_a_pc_that_learns_gets_the_form_that_learns_and_fetches_what_changed_alone(ministry, pc, offer_both):
    becomes_learning(pc)
    first = offer_both(NEWER_TABLE)
    assert pc.contact() == {}
    pc.update()
    assert (pc.version(), can_learn(pc)) == (first, True)

    second = offer_both({**NEWER_TABLE, "node/newer.py": b"# another program\n"})
    assert pc.contact() == {}
    sizes = rows(pc.data / DATABASE_NAME, "SELECT bytes_down FROM sync_synclog WHERE step = 'program' ORDER BY id")
    pc.update()

    assert (pc.version(), can_learn(pc)) == (second, True)
    # The wheel to learn with is larger than its chunks, is not compressed, and does not come again.
    assert sizes[0][0] - sizes[-1][0] > 300_000
    assert pc.contact() == {}
    standing = "SELECT form FROM programs_programstanding WHERE version = ?"
    assert ministry.rows(standing, second) == [(python_tag() + LEARNING,)]


def test_a_lean_pc_stays_lean_and_one_that_learns_takes_no_program_without_learning(pc, offer, offer_both):
    version = offer_both(NEWER_TABLE)
    pc.contact()
    pc.update()
    assert (pc.version(), can_learn(pc)) == (version, False)

    becomes_learning(pc)
    offer({**NEWER_TABLE, "node/newer.py": b"# lean alone\n"})

    with pytest.raises(AssertionError, match='"program": "variant_unknown"'):
        pc.contact()
    pc.update()
    assert pc.version() == version


def test_what_was_fetched_lean_is_fetched_anew_once_a_stick_has_brought_learning(pc, offer_both):
    version = offer_both(NEWER_TABLE)
    pc.contact()
    becomes_learning(pc)

    assert pc.contact() == {}
    pc.update()

    assert (pc.version(), can_learn(pc)) == (version, True)

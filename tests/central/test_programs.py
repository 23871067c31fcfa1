"""Programs at the centre: published, offered to some schools and then to all, paused by themselves, withdrawn."""

import json
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from central.courier.cargo import programs_in_force, programs_needed
from central.programs.errors import ProgramNotReady
from central.programs.models import Program, ProgramStanding, ProgramStatus
from central.programs.offered import OfferedProgram, program_for
from central.programs.services import (
    program_find,
    program_offer,
    program_pause,
    program_publish,
    program_resume,
    program_withdraw,
    programs_signed_finish,
)
from central.schools.errors import StatusMoveIllegal
from central.schools.models import AuditEvent, Node, School
from federation.trust.tuf_publisher import targets_read
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.programs import ProgramReport
from federation.wire.releases import CheckIn, ReleaseIndex, ReleaseKind
from tests.central.conftest import NOW
from tests.central.school import check_in_of


@pytest.fixture
def publish(db, disk, keys, tmp_path):
    def published(version):
        folder = tmp_path / version
        (folder / "wheels").mkdir(parents=True)
        (folder / "wheels" / "own.whl").write_bytes(version.encode())
        return program_publish(version=version, folders={"cp311": folder}, disk=disk, actor="command line", now=NOW)

    return published


def offer(program, *schools, is_for_all=False, failures_allowed=None):
    given = {"schools": schools, "is_for_all": is_for_all, "failures_allowed": failures_allowed}
    program_offer(program=program, **given, actor="command line", now=NOW)


def school_of(simulated):
    return School.objects.get(nodes=simulated.node_id)


def test_a_published_program_is_a_target_whose_index_names_its_files_for_each_python(publish, disk):
    program = publish("1-a")

    index = parse(ReleaseIndex, bytes(program.index_bytes))
    assert (index.kind, index.title, index.version) == (ReleaseKind.PROGRAM, "1-a", 1)
    assert [(each.name, [entry.path for entry in each.files]) for each in index.variants] == [
        ("cp311", ["wheels/own.whl"])
    ]
    assert program.target_path in targets_read(root=disk.tuf)
    assert program.status == ProgramStatus.READY


def test_publishing_the_same_version_again_is_the_same_program(publish, disk, tmp_path):
    first = publish("1-a")

    again = program_publish(version="1-a", folders={}, disk=disk, actor="command line", now=NOW)

    assert again.pk == first.pk
    assert Program.objects.count() == 1


def test_a_program_reaches_the_schools_that_it_is_offered_to_and_then_all(publish, school, other_school):
    program = publish("1-a")
    assert school.word().program == ""

    offer(program, school_of(school))
    assert school.word().program == program.digest
    assert other_school.word().program == ""

    offer(program, is_for_all=True)
    assert other_school.word().program == program.digest


def test_a_paused_program_is_offered_to_nobody_and_resumed_to_the_same(publish, school):
    older, newer = publish("1-a"), publish("2-b")
    offer(older, is_for_all=True)
    offer(newer, is_for_all=True)
    assert school.word().program == newer.digest

    program_pause(program=newer, actor="command line", reason="a look", now=NOW)
    # Not the older one either: who has the newer is not to be told anything else.
    assert school.word().program == ""

    program_resume(program=newer, actor="command line", now=NOW)
    assert school.word().program == newer.digest


def test_a_withdrawn_program_is_no_target_any_more_and_cannot_be_offered(publish, school, disk):
    older, newer = publish("1-a"), publish("2-b")
    offer(older, is_for_all=True)
    offer(newer, is_for_all=True)

    program_withdraw(program=newer, disk=disk, actor="command line", reason="unsafe", now=NOW)

    assert newer.target_path not in targets_read(root=disk.tuf)
    assert school.word().program == older.digest
    with pytest.raises(ProgramNotReady):
        offer(newer, is_for_all=True)
    with pytest.raises(StatusMoveIllegal):
        program_resume(program=newer, actor="command line", now=NOW)


def test_one_failure_too_many_pauses_a_program_by_itself(publish, school, other_school):
    program = publish("1-a")
    offer(program, is_for_all=True, failures_allowed=1)
    report = ProgramReport(version="0-old", failed="1-a", code="program_page_silent")

    school.check_in(program=report)
    # The same school once more is no second failure.
    school.check_in(program=report)
    assert program_find("1-a").status == ProgramStatus.READY

    other_school.check_in(program=report)
    assert program_find("1-a").status == ProgramStatus.PAUSED
    assert other_school.word().program == ""
    assert AuditEvent.objects.filter(reason="too_many_failures").count() == 1
    standing = ProgramStanding.objects.get(node=school.node_id)
    assert (standing.version, standing.failed, standing.code) == ("0-old", "1-a", "program_page_silent")


def carried(school, program):
    (found,) = programs_needed(nodes=Node.objects.filter(pk=school.node_id), in_force=programs_in_force())
    return found.index.title, [entry.path for entry in found.files]


def test_a_stick_carries_a_program_in_the_form_that_the_school_has(disk, keys, school, tmp_path):
    folders = {}
    for form in ("cp311", "cp311-learning", "cp312"):
        folders[form] = tmp_path / form
        (folders[form] / "wheels").mkdir(parents=True)
        (folders[form] / "wheels" / f"{form}.whl").write_bytes(form.encode())
    program = program_publish(version="2-b", folders=folders, disk=disk, actor="command line", now=NOW)
    offer(program, is_for_all=True)
    school.word()

    # A program of before does not say its form, and is lean.
    assert carried(school, program) == ("2-b", ["wheels/cp311.whl", "wheels/cp312.whl"])
    school.check_in(program=ProgramReport(version="1-a", form="cp311-learning"))
    assert carried(school, program) == ("2-b", ["wheels/cp311-learning.whl"])
    assert ProgramStanding.objects.get(node=school.node_id).is_learning


def test_a_node_with_nothing_to_tell_of_its_program_says_nothing_and_changes_nothing(school):
    report = ProgramReport(version="1-a")
    school.check_in(program=report)

    school.check_in()

    assert ProgramStanding.objects.get(node=school.node_id).version == "1-a"


def test_a_check_in_and_an_assignment_have_no_byte_for_a_program_that_nothing_is_said_of(school):
    silent = check_in_of(school)
    telling = replace(silent, program=ProgramReport(version="1-a"))

    assert b"program" not in canonical_bytes(silent)
    assert parse(CheckIn, canonical_bytes(silent)) == silent
    assert parse(CheckIn, canonical_bytes(telling)) == telling
    assert b"program" not in canonical_bytes(school.word())


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ([], ""),
        ([("b", False, {2}), ("a", True, set())], "a"),
        ([("b", False, {1}), ("a", True, set())], "b"),
        ([("", True, set()), ("a", True, set())], ""),
        ([("", False, {2}), ("a", True, set())], "a"),
    ],
)
def test_a_school_is_offered_the_newest_that_is_meant_for_it(offered, expected):
    programs = [
        OfferedProgram(digest=digest, is_for_all=is_for_all, schools=frozenset(schools))
        for digest, is_for_all, schools in offered
    ]
    assert program_for(school_id=1, offered=programs) == expected


def test_the_command_offers_pauses_and_lists(publish, school, capsys):
    publish("1-a")
    name = school_of(school).name

    call_command("program", "offer", "1", "--school", name, "--failures-allowed", "0")
    call_command("program", "pause", "1-a", "--reason", "a look")
    capsys.readouterr()
    call_command("program", "list", "--json")

    (listed,) = json.loads(capsys.readouterr().out)["programs"]
    assert (listed["version"], listed["status"], listed["schools"], listed["is_for_all"]) == ("1-a", "paused", 1, False)
    with pytest.raises(CommandError, match="Мактаби №99"):
        call_command("program", "offer", "1", "--school", "Мактаби №99")
    with pytest.raises(CommandError, match="program list"):
        call_command("program", "offer", "7", "--all")


def test_the_admin_shows_programs_and_where_they_run_and_offers_them(publish, school, admin_client):
    program = publish("1-a")
    school.check_in(program=ProgramReport(version="1-a", failed="2-b", code="program_page_silent"))

    page = admin_client.get(reverse("admin:programs_program_changelist"))
    standing = admin_client.get(reverse("admin:programs_programstanding_changelist"))
    admin_client.post(
        reverse("admin:programs_program_changelist"), {"action": "offer_to_all", "_selected_action": [program.pk]}
    )

    assert "1-a" in page.content.decode()
    assert school_of(school).name in standing.content.decode()
    assert "2-b" in standing.content.decode()
    assert program_find("1-a").is_for_all


def test_a_program_that_waits_for_the_targets_key_becomes_ready_once_it_has_signed(publish, disk):
    program = publish("1-a")
    Program.objects.filter(pk=program.pk).update(status=ProgramStatus.AWAITING_SIGNATURE)

    assert programs_signed_finish(disk=disk, now=NOW) == 1
    assert program_find("1-a").status == ProgramStatus.READY

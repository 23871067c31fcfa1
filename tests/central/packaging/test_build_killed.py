"""A build that is killed goes on where it was, and leaves nothing that nobody needs."""

import fcntl
import subprocess
import sys

import pytest

from central.releases.packaging.errors import BuildUnderWay
from central.releases.packaging.step_folder import FINISHED, STATES, steps_hold
from tests.tiny_checkpoint import tiny_checkpoint

CHILD = "tests.central.packaging.build_child"
# Where the build is killed: in the middle of each step, or at its very beginning where it tells of no middle.
KILLED_AT = [
    ("checkpoint", 0.5),
    ("vocabulary", 0.4),
    ("fp32 reference", 0.5),
    ("export", 0.0),
    ("quantise", 0.5),
    ("measure", 0.3),
]


def build(tmp_path, *, kill_at=None):
    """Build until `kill_at` (step, share), or to the end; return what was told, by step."""
    arguments = [str(tmp_path / name) for name in ("source", "out/package", "work")]
    process = subprocess.Popen(
        [sys.executable, "-m", CHILD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    told = {}
    with process:
        for line in process.stdout:
            step, share = line.rsplit(" ", 1)
            told.setdefault(step, []).append(float(share))
            if kill_at and step == kill_at[0] and float(share) >= kill_at[1]:
                process.kill()
                break
            process.stdin.write("\n")
            process.stdin.flush()
    assert process.returncode == (-9 if kill_at else 0)
    return told


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_build_killed_in_each_of_its_steps_makes_the_same_package_and_repeats_no_step(tmp_path):
    tiny_checkpoint(tmp_path / "source", context_tokens=512)
    (tmp_path / "out").mkdir()
    for place, (step, share) in enumerate(KILLED_AT):
        told = build(tmp_path, kill_at=(step, share))
        for earlier, _ in KILLED_AT[: max(0, place - 1)]:
            # A step that was finished before is only said to be; quantising belongs to the package, which has no name.
            assert told[earlier] == [0.0, 1.0] or earlier == "quantise", earlier
        if step == "export":
            # Of two layers the first was done when the reference was killed.
            assert told["fp32 reference"] == [0.0, 1.0, 1.0]
        assert not (tmp_path / "out" / "package").exists()
    build(tmp_path)
    cut = contents(tmp_path / "out")
    assert {name.split("/")[0] for name in cut} == {"package"}
    work = tmp_path / "work"
    assert all((folder / FINISHED).exists() for folder in work.iterdir() if folder.is_dir())
    assert {folder.name.split("-")[0] for folder in work.iterdir() if folder.is_dir()} == {
        "prepared",
        "trimmed",
        "reference",
        "exported",
        "measured",
    }
    (tmp_path / "uncut").mkdir()
    (tmp_path / "uncut" / "source").symlink_to(tmp_path / "source")
    (tmp_path / "uncut" / "out").mkdir()
    build(tmp_path / "uncut")
    assert contents(tmp_path / "uncut" / "out") == cut


def test_what_dead_builds_left_is_swept_away_but_for_what_can_be_gone_on_from(tmp_path):
    key = "0123456789abcdef"
    for name in (f"trimmed-{key}/{FINISHED}", f"reference-{key}/{STATES}", f"reference-{key}/graph/model.onnx"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in (f"exported-{key}", f".prepared-{key}-x", "hub", f"reference-{key[::-1]}"):
        (tmp_path / name / "inner").mkdir(parents=True)
    with steps_hold(tmp_path):
        left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.name != ".lock"}
    assert left == {
        "hub",
        "hub/inner",
        f"trimmed-{key}",
        f"trimmed-{key}/{FINISHED}",
        f"reference-{key}",
        f"reference-{key}/{STATES}",
    }


def test_a_second_build_at_once_is_refused_and_sweeps_nothing(tmp_path):
    with (tmp_path / ".lock").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        (tmp_path / ".scratch").mkdir()
        with pytest.raises(BuildUnderWay), steps_hold(tmp_path):
            pytest.fail("the folder is held by another")
        assert (tmp_path / ".scratch").is_dir()
    with steps_hold(tmp_path):
        assert not (tmp_path / ".scratch").exists()

"""What killed builds have left goes when the next one begins, and never while one is under way."""

import fcntl
import os

import pytest
from django.utils import timezone

from central.releases.build import base_build
from central.releases.models import ReleaseStatus
from central.releases.packaging.errors import BuildUnderWay, CheckpointMissing
from central.releases.services import release_draft_create

pytestmark = pytest.mark.django_db
LEFT = ("builds/base-7/model.onnx.data", "builds/.base-8-draft/model.onnx", "builds/steps/.prepared-x/folder/a")
NEEDED = ("builds/released/abc/model.onnx", "builds/adapter-9/adapter.bin", "blobs/ab/abcd", "blobs/.fresh.tmp")


@pytest.fixture
def root(disk, settings):
    settings.BUILD_WORK = disk.builds / "steps"
    for name in (*LEFT, *NEEDED, "blobs/.old.tmp"):
        (disk.root / name).parent.mkdir(parents=True, exist_ok=True)
        (disk.root / name).touch()
    two_hours_ago = timezone.now().timestamp() - 7200
    os.utime(disk.root / "blobs/.old.tmp", (two_hours_ago, two_hours_ago))
    return disk.root


def build(disk, tmp_path):
    """Begin a build that comes no further than its checkpoint."""
    missing = str(tmp_path / "missing")
    draft = release_draft_create(kind="base", title="x", checkpoint=missing, actor="t", now=timezone.now())
    try:
        base_build(release=draft, disk=disk, actor="t", clock=timezone.now)
    finally:
        draft.refresh_from_db()
        assert draft.status == ReleaseStatus.BUILD_FAILED


def test_a_build_that_begins_removes_what_killed_ones_left_and_nothing_else(disk, root, tmp_path):
    with pytest.raises(CheckpointMissing):
        build(disk, tmp_path)
    assert not any((root / name).exists() for name in (*LEFT, "blobs/.old.tmp"))
    assert not list((root / "builds").glob("*base-*"))
    assert all((root / name).exists() for name in NEEDED)


def test_a_build_beside_another_one_is_refused_and_its_files_stay(disk, root, tmp_path):
    with (root / "builds" / "steps" / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BuildUnderWay):
            build(disk, tmp_path)
    assert all((root / name).exists() for name in (*LEFT, *NEEDED, "blobs/.old.tmp"))

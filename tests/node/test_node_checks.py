"""What `node check` sees."""

import json
import stat

import pytest

from federation.trust.keys import node_key_create
from federation.trust.release_bytes import index_build, index_digest
from federation.wire.canonical import canonical_bytes
from federation.wire.releases import ReleaseKind
from node.installed import checks
from node.installed.disk import release_path
from node.installed.state import Phase, Slots, slots_write


@pytest.fixture
def root(tmp_path, settings):
    settings.NODE_ROOT = tmp_path / "node"
    (tmp_path / "node").mkdir()
    return tmp_path / "node"


def _ids(check):
    return [message.id for message in check(app_configs=None)]


@pytest.mark.usefixtures("root")
def test_a_school_that_is_not_enrolled_is_warned_and_not_stopped():
    assert _ids(checks.key_check) == ["node.W002"]
    assert _ids(checks.release_check) == ["node.W003"]


def test_a_key_that_is_lost_or_open_to_others_is_an_error(root):
    (root / "node.json").write_text(json.dumps({}))
    assert _ids(checks.key_check) == ["node.E002"]
    node_key_create(root / "keys" / "node.pem")
    assert _ids(checks.key_check) == []
    (root / "keys" / "node.pem").chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP)
    assert _ids(checks.key_check) == ["node.E003"]


def test_a_changed_byte_in_the_release_that_runs_is_an_error(root, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "model.bin").write_bytes(b"weights")
    index = index_build(package=package, kind=ReleaseKind.BASE, version=1, title="t", base=None, contributions=())
    (package / "index.json").write_bytes(canonical_bytes(index))
    directory = release_path(root, index_digest(index))
    directory.parent.mkdir()
    package.rename(directory)
    slots_write(root, Slots(current=index_digest(index), phase=Phase.COMMITTED))
    assert _ids(checks.release_check) == []
    (directory / "model.bin").write_bytes(b"weighty")
    assert _ids(checks.release_check) == ["node.E004"]

"""Whether a PC can run a release: refused before it is fetched, with the reason, while the old one runs on."""

import json
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.inference.errors import EngineTooOld
from federation.inference.package import FORMAT
from federation.inference.variants import memory_need_bytes
from federation.trust.errors import LinkLost
from federation.trust.release_bytes import index_build, index_digest
from federation.wire.releases import InstallState, ReleaseKind
from node.installed import checks
from node.installed.disk import release_path
from node.installed.errors import MemoryTooSmall
from node.installed.first_look import package_check
from node.installed.fit import package_fit
from node.installed.hardware import Gauges
from node.installed.memory import memory_available_bytes
from node.root import engine_socket_path
from tests.node.engine_simulator import release_lay
from tests.node.test_installed import Desk

pytestmark = pytest.mark.django_db
GIGABYTE = 10**9


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def with_memory(available):
    return Gauges(memory_available=lambda _root: available)


def fit(card_format=FORMAT, weights_bytes=0, available=GIGABYTE):
    package_fit(
        card_format=card_format,
        weights_bytes=weights_bytes,
        memory_available_bytes=available,
        engine_format=FORMAT,
    )


def test_a_package_needs_a_quarter_more_than_its_bytes_and_200_megabytes():
    fit(weights_bytes=640_000_000, available=GIGABYTE)
    with pytest.raises(MemoryTooSmall) as refused:
        fit(weights_bytes=640_000_000, available=GIGABYTE - 1)
    assert refused.value.fields == {"needed_bytes": GIGABYTE, "available_bytes": GIGABYTE - 1}


def test_a_package_of_a_newer_format_names_both_formats():
    with pytest.raises(EngineTooOld) as refused:
        fit(card_format=FORMAT + 1)
    assert refused.value.fields == {"needed": FORMAT + 1, "has": FORMAT}
    fit(card_format=None)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_larger_package_never_needs_less(one, other):
    smaller, larger = sorted((one, other))
    assert memory_need_bytes(smaller) <= memory_need_bytes(larger)
    assert memory_need_bytes(larger) >= 1.25 * larger


def test_the_memory_of_a_running_engine_counts_as_available(tmp_path):
    proc = tmp_path / "proc"
    (proc / str(os.getpid())).mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemFree: 1 kB\nMemAvailable:    3000 kB\n")
    (proc / str(os.getpid()) / "status").write_text("Name:\tengine\nVmRSS:\t  900 kB\nRssAnon:\t  500 kB\n")
    assert memory_available_bytes(tmp_path, proc=proc) == 3000 * 1024
    path = engine_socket_path(tmp_path)
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as engine:
        engine.bind(str(path))
        engine.listen()
        assert memory_available_bytes(tmp_path, proc=proc) == 3500 * 1024
    path.unlink()


def test_this_machine_tells_its_memory(tmp_path):
    assert memory_available_bytes(tmp_path) > 50_000_000


def test_a_release_that_needs_too_much_memory_is_skipped_unfetched_and_the_old_one_runs_on(desk):
    desk.commit(desk.make("first"))
    second = desk.make("second")
    before = desk.files()
    with pytest.raises(MemoryTooSmall):
        desk.install(second, sequence=2, gauges=with_memory(150_000_000))
    assert (desk.running(), desk.files()) == ("first", before)
    report = desk.report()
    assert (report.state, report.error_code, report.bytes_fetched) == (InstallState.SKIPPED, "memory_too_small", 0)
    # The same assignment stays refused; a new one is judged anew.
    assert desk.install(second, sequence=2) is InstallState.SKIPPED
    assert desk.running() == "first"
    assert desk.install(second, sequence=3) is InstallState.TRIAL


def test_a_release_of_a_newer_format_is_skipped_and_the_old_one_runs_on(desk):
    desk.commit(desk.make("first"))
    newer = make_with_card(desk, "newer", json.dumps({"format": FORMAT + 1, "weights": "in words of the future"}))
    before = desk.files()
    with pytest.raises(EngineTooOld):
        desk.install(newer, sequence=2)
    assert (desk.running(), desk.files()) == ("first", before)
    assert (desk.report().state, desk.report().error_code) == (InstallState.SKIPPED, "engine_too_old")


@pytest.mark.parametrize("card", ["[]", "{}", "no JSON", '{"format": "x"}', "{" * 70_000])
def test_a_card_that_cannot_be_read_is_left_to_the_self_test(desk, card):
    assert desk.install(make_with_card(desk, "odd", card)) is InstallState.TRIAL


def make_with_card(desk, name, card):
    package = desk.tmp_path / "made" / name
    package.mkdir(parents=True)
    (package / "model.bin").write_bytes(b"weights")
    (package / "card.json").write_text(card)
    index = index_build(package=package, kind=ReleaseKind.BASE, version=2, title=name, base=None, contributions=())
    for entry in index.files:
        path = desk.blobs / entry.sha256[:2] / entry.sha256
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((package / entry.path).read_bytes())
    return index


def test_an_adapter_on_an_installed_base_needs_no_more_than_the_base(desk):
    base = desk.make("base")
    desk.commit(base)
    adapter = desk.make("adapter", base=base)
    assert desk.install(adapter, base=base, gauges=with_memory(0)) is InstallState.TRIAL


def test_an_adapter_whose_base_is_too_large_is_skipped_with_its_base(desk):
    base = desk.make("base")
    adapter = desk.make("adapter", base=base)
    with pytest.raises(MemoryTooSmall):
        desk.install(adapter, base=base, gauges=with_memory(0))
    assert desk.report().release == index_digest(adapter)
    assert desk.report().state is InstallState.SKIPPED
    assert not release_path(desk.root, index_digest(base)).exists()


def test_what_runs_comes_again_whatever_the_memory_says(desk):
    first = desk.make("first")
    desk.commit(first, sequence=1)
    release_path(desk.root, index_digest(first)).rename(desk.tmp_path / "lost")
    assert desk.install(first, sequence=1, gauges=with_memory(0)) is InstallState.COMMITTED
    assert desk.running() == "first"


def test_a_link_that_ends_before_the_card_came_is_tried_again(desk):
    class Dead:
        def read_range(self, sha256, _start, _length):
            raise LinkLost(sha256=sha256, problem="cut")

    first = desk.make("first")
    with pytest.raises(LinkLost):
        package_check(
            root=desk.root,
            package=first,
            variant="",
            source=Dead(),
            gauges=with_memory(GIGABYTE),
        )
    with pytest.raises(LinkLost):
        desk.install(first, sequence=1, source=Dead())
    assert desk.report().state is InstallState.DOWNLOADING
    assert desk.install(first, sequence=1) is InstallState.TRIAL


def test_node_check_says_whether_the_pc_fits_the_release(root):
    assert checks.fit_check(app_configs=None) == []
    release_lay(root)
    (found,) = checks.fit_check(app_configs=None)
    assert (found.id, found.msg.partition("memory")[0]) == ("node.I001", "The release needs 200 MB of ")
    (root / "releases").rename(root / "lost")
    assert checks.fit_check(app_configs=None) == []

"""A release's way on a school's PC, from assigned to committed or back, through cuts and crashes."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import FederationError
from federation.trust.blob_sources import DirectoryBlobSource
from federation.trust.errors import ChunkMismatch, DiskFull, LinkLost
from federation.trust.release_bytes import index_build, index_digest
from federation.wire.releases import CHUNK_BYTES, InstallState, ReleaseIndex, ReleaseKind, Variant
from node.installed import state
from node.installed.disk import download_path, release_path
from node.installed.errors import BaseMissing, IllegalStep, StateUnreadable
from node.installed.models import InstallRecord
from node.installed.self_test import SelfTestVerdict, self_test_run
from node.installed.services import (
    active_release,
    candidate_begin_trial,
    candidate_test,
    install_reports,
    release_install,
    release_stage,
    superseded_remove,
    trial_commit,
    trial_load_begin,
    trial_revert,
)
from node.installed.state import Phase, Slots, slots_read, slots_write

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
GPU_BYTES = 10**9
PASSED = SelfTestVerdict(has_passed=True, code="", detail="")


class Desk:
    """A school's PC with a stick of blobs beside it."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.root = tmp_path / "node"
        self.root.mkdir()
        self.blobs = tmp_path / "blobs"
        self.sequence = 0

    def make(self, name: str, base: ReleaseIndex | None = None) -> ReleaseIndex:
        package = self.tmp_path / "made" / name
        package.mkdir(parents=True)
        (package / ("adapter.bin" if base else "model.bin")).write_bytes(name.encode() * 300_000)
        (package / "card.json").write_text(json.dumps({"name": name}))
        kind = ReleaseKind.ADAPTER if base else ReleaseKind.BASE
        digest = index_digest(base) if base else None
        index = index_build(package=package, kind=kind, version=1, title=name, base=digest, contributions=())
        for entry in index.files:
            path = self.blobs / entry.sha256[:2] / entry.sha256
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(package / entry.path, path)
        return index

    def make_variants(self, *names: str) -> ReleaseIndex:
        """Lay out a base of several forms; all after the first need a GPU."""
        variants = []
        for name in names:
            files = self.make(name).files
            needs = {"memory_bytes": 0, "gpu_memory_bytes": GPU_BYTES if variants else 0}
            variants.append(Variant(name=name, files=files, **needs))
        return ReleaseIndex(
            kind=ReleaseKind.BASE,
            version=2,
            title="forms",
            base=None,
            files=(),
            contributions=(),
            variants=tuple(variants),
        )

    def install(self, index, *, base=None, sequence=None, self_test=lambda _package, _adapter: PASSED, **options):
        if sequence is None:
            self.sequence = sequence = self.sequence + 1
        return release_install(
            root=self.root,
            index=index,
            base_index=base,
            sequence=sequence,
            source=options.pop("source", DirectoryBlobSource(self.blobs)),
            clock=lambda: NOW,
            self_test=self_test,
            **options,
        )

    def commit(self, index, **options):
        self.install(index, **options)
        trial_load_begin(root=self.root, now=NOW)
        assert trial_commit(root=self.root, now=NOW)

    def running(self) -> str | None:
        active = active_release(root=self.root)
        return active.index.title if active else None

    def report(self):
        return install_reports(root=self.root, now=NOW)[-1]

    def files(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.is_file() and path.name != "state.lock"]


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_a_release_goes_on_trial_and_stays_once_it_has_answered(desk):
    first = desk.make("first")
    assert desk.running() is None
    assert desk.install(first) is InstallState.TRIAL
    assert trial_load_begin(root=desk.root, now=NOW).package == release_path(desk.root, index_digest(first))
    assert trial_commit(root=desk.root, now=NOW)
    assert not trial_commit(root=desk.root, now=NOW)
    assert desk.report().state is InstallState.COMMITTED
    assert desk.report().bytes_fetched == sum(entry.size_bytes for entry in first.files)
    assert slots_read(desk.root) == Slots(current=index_digest(first), phase=Phase.COMMITTED)


def test_an_adapter_runs_on_its_base_and_brings_only_its_own_bytes(desk):
    base = desk.make("base")
    desk.commit(base)
    adapter = desk.make("adapter", base=base)
    desk.commit(adapter, base=base)
    active = active_release(root=desk.root)
    assert active.package == release_path(desk.root, index_digest(base))
    assert active.adapter == release_path(desk.root, index_digest(adapter)) / "adapter.bin"
    assert desk.report().bytes_fetched == sum(entry.size_bytes for entry in adapter.files)


def test_an_adapter_comes_with_its_base_where_that_is_missing_and_never_without(desk):
    base = desk.make("base")
    adapter = desk.make("adapter", base=base)
    with pytest.raises(BaseMissing):
        desk.install(adapter, sequence=1)
    assert desk.install(adapter, base=base, sequence=1) is InstallState.TRIAL
    assert active_release(root=desk.root).adapter.exists()


def test_a_release_that_crashes_each_load_goes_back_to_the_previous_by_itself(desk):
    desk.commit(desk.make("first"))
    desk.install(desk.make("second"))
    loads = [trial_load_begin(root=desk.root, now=NOW).index.title for _ in range(state.TRIES + 1)]
    assert loads == ["second"] * state.TRIES + ["first"]
    assert (desk.report().state, desk.report().error_code) == (InstallState.REVERTED, "trial_crash_loop")
    assert trial_load_begin(root=desk.root, now=NOW).index.title == "first"


def test_a_first_release_that_crashes_each_load_leaves_the_school_without_one(desk):
    desk.install(desk.make("first"))
    loads = [trial_load_begin(root=desk.root, now=NOW) for _ in range(state.TRIES + 1)]
    assert loads[-1] is None
    assert slots_read(desk.root) == Slots()


def test_a_release_that_the_engine_refuses_is_left_at_once(desk):
    first = desk.make("first")
    desk.commit(first)
    desk.install(desk.make("second"))
    assert trial_revert(root=desk.root, error_code="engine_load_failed", now=NOW) == index_digest(first)
    assert (desk.running(), desk.report().error_code) == ("first", "engine_load_failed")
    with pytest.raises(IllegalStep):
        trial_revert(root=desk.root, error_code="engine_load_failed", now=NOW)


def test_a_release_that_fails_its_self_test_never_runs_and_is_not_tried_again(desk):
    desk.commit(desk.make("first"))
    second = desk.make("second")
    refused = SelfTestVerdict(has_passed=False, code="perplexity_out_of_band", detail="")
    assert desk.install(second, sequence=2, self_test=lambda *_: refused) is InstallState.REVERTED
    assert desk.install(second, sequence=2) is InstallState.REVERTED
    assert (desk.running(), desk.report().error_code) == ("first", "perplexity_out_of_band")
    superseded_remove(root=desk.root, assigned=None, now=NOW)
    assert not release_path(desk.root, index_digest(second)).exists()
    assert desk.install(second, sequence=3) is InstallState.TRIAL


def test_a_self_test_that_takes_the_machine_down_each_time_is_given_up(desk):
    desk.commit(desk.make("first"))
    second = desk.make("second")

    def power_cut(_package, _adapter):
        raise KeyboardInterrupt

    for _ in range(state.TRIES):
        with pytest.raises(KeyboardInterrupt):
            desk.install(second, sequence=2, self_test=power_cut)
    assert desk.install(second, sequence=2, self_test=power_cut) is InstallState.REVERTED
    assert (desk.running(), desk.report().error_code) == ("first", "self_test_interrupted")


def test_a_tampered_release_leaves_what_ran_and_no_directory(desk):
    desk.commit(desk.make("first"))
    second = desk.make("second")
    blob = desk.blobs / second.files[1].sha256[:2] / second.files[1].sha256
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    with pytest.raises(ChunkMismatch):
        desk.install(second, sequence=2)
    assert not release_path(desk.root, index_digest(second)).exists()
    assert (desk.running(), desk.report().state) == ("first", InstallState.FAILED_VERIFY)
    assert desk.report().error_code == "chunk_mismatch"


def test_a_full_disk_leaves_nothing_and_a_later_try_succeeds(desk):
    first = desk.make("first")
    with pytest.raises(DiskFull):
        desk.install(first, sequence=1, disk_free=lambda _path: 1000)
    assert desk.files() == []
    assert (desk.report().state, desk.report().error_code) == (InstallState.FAILED_DOWNLOAD, "disk_full")
    assert desk.install(first, sequence=1) is InstallState.TRIAL


def test_a_lost_link_goes_on_where_it_was_and_bytes_are_counted_once(desk):
    first = desk.make("first")

    class Cut:
        def read_range(self, sha256, start, length):
            yield from DirectoryBlobSource(desk.blobs).read_range(sha256, start, min(length, 300_000))
            raise LinkLost(sha256=sha256, problem="cut")

    with pytest.raises(LinkLost):
        desk.install(first, sequence=1, source=type("Dead", (), {"read_range": _dead})())
    assert desk.report().state is InstallState.DOWNLOADING
    assert desk.install(first, sequence=1, source=Cut()) is InstallState.TRIAL
    assert desk.report().bytes_fetched >= sum(entry.size_bytes for entry in first.files)


def _dead(_self, sha256, _start, _length):
    raise LinkLost(sha256=sha256, problem="cut")


def test_a_new_assignment_of_what_already_runs_changes_nothing(desk):
    first = desk.make("first")
    desk.install(first)
    assert desk.install(first) is InstallState.TRIAL
    trial_commit(root=desk.root, now=NOW)
    assert desk.install(first) is InstallState.COMMITTED
    assert {report.state for report in install_reports(root=desk.root, now=NOW)} == {InstallState.COMMITTED}


def test_while_one_release_is_on_trial_no_other_is_tested(desk):
    desk.install(desk.make("first"))
    second = desk.make("second")
    with pytest.raises(IllegalStep):
        desk.install(second, sequence=2)
    assert desk.running() == "first"
    trial_commit(root=desk.root, now=NOW)
    assert desk.install(second, sequence=2) is InstallState.TRIAL


def test_a_release_whose_directory_was_lost_comes_again_without_a_new_trial(desk):
    first = desk.make("first")
    desk.commit(first, sequence=1)
    shutil.rmtree(release_path(desk.root, index_digest(first)))
    assert desk.install(first, sequence=1) is InstallState.COMMITTED
    assert desk.running() == "first"


def test_removal_keeps_what_runs_what_ran_before_and_their_base(desk):
    base = desk.make("base")
    desk.commit(base)
    adapters = [desk.make(name, base=base) for name in ("a1", "a2", "a3")]
    for adapter in adapters:
        desk.commit(adapter, base=base)
    assert superseded_remove(root=desk.root, assigned=None, now=NOW) == (index_digest(adapters[0]),)
    kept = {path.name for path in (desk.root / "releases").iterdir()}
    assert kept == {index_digest(index) for index in (base, *adapters[1:])}


def test_an_abandoned_download_is_removed_when_another_release_is_assigned(desk):
    first, second = desk.make("first"), desk.make("second")

    class LostAfterTheCard:
        def read_range(self, sha256, start, length):
            if length > 1000:
                raise LinkLost(sha256=sha256, problem="cut")
            yield from DirectoryBlobSource(desk.blobs).read_range(sha256, start, length)

    with pytest.raises(LinkLost):
        desk.install(first, source=LostAfterTheCard())
    assert (desk.root / "downloads" / index_digest(first)).exists()
    desk.install(second)
    assert not (desk.root / "downloads" / index_digest(first)).exists()


def test_a_leftover_of_a_cut_write_is_not_read(desk):
    desk.commit(desk.make("first"))
    (desk.root / ".state.json.abc.tmp").write_bytes(b'{"current": "half')
    assert desk.running() == "first"


def test_a_state_file_that_is_not_in_order_is_never_taken_for_an_empty_one(desk):
    (desk.root / "state.json").write_bytes(b"")
    with pytest.raises(StateUnreadable):
        active_release(root=desk.root)
    with pytest.raises(StateUnreadable):
        desk.install(desk.make("first"))


@pytest.mark.parametrize("cut_at", range(6))
def test_a_cut_between_the_state_file_and_the_database_is_set_right(desk, cut_at):
    """Runs the whole way, and after `cut_at` steps puts the record back to what it was before the step."""
    desk.commit(desk.make("first"))
    second = desk.make("second")
    release_stage(
        root=desk.root,
        index=second,
        base_index=None,
        sequence=2,
        source=DirectoryBlobSource(desk.blobs),
        now=NOW,
    )
    digest = index_digest(second)
    steps = [
        lambda: candidate_test(root=desk.root, digest=digest, self_test=lambda *_: PASSED, now=NOW),
        lambda: candidate_begin_trial(root=desk.root, now=NOW),
        lambda: trial_load_begin(root=desk.root, now=NOW),
        lambda: trial_load_begin(root=desk.root, now=NOW),
        lambda: trial_commit(root=desk.root, now=NOW),
    ]
    for number, step in enumerate(steps):
        before = InstallRecord.objects.get(release=digest).status
        step()
        if number == cut_at:
            InstallRecord.objects.filter(release=digest).update(status=before)
    assert (desk.running(), desk.report().state) == ("second", InstallState.COMMITTED)


@given(st.lists(st.sampled_from(["begin", "fail", "trial", "load", "commit", "revert"]), max_size=30))
def test_no_order_of_events_loses_a_committed_release(events):
    slots, committed, made = Slots(), None, 0
    for event in events:
        try:
            if event == "begin":
                made += 1
                slots = state.candidate_test_begun(slots, candidate=str(made))
            else:
                slots = {
                    "fail": state.candidate_test_failed,
                    "trial": state.trial_begun,
                    "load": state.load_begun,
                    "commit": state.trial_committed,
                    "revert": state.trial_reverted,
                }[event](slots)
        except IllegalStep:
            continue
        if slots.phase is Phase.COMMITTED:
            committed = slots.current
        assert committed in (None, slots.current, slots.previous)
        assert (slots.phase is Phase.TESTING) == (slots.candidate is not None)
        assert slots.tries_left >= (-1 if slots.phase is Phase.TESTING else 0) or made > 0


def test_the_state_file_gives_back_what_was_written(tmp_path):
    slots = Slots(current="a", previous="b", candidate="c", phase=Phase.TESTING, tries_left=2)
    slots_write(tmp_path, slots)
    assert slots_read(tmp_path) == slots
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [("pass", ""), ("empty_answer", "empty_answer"), ("die", "self_test_crashed"), ("hang", "self_test_timeout")],
)
def test_the_child_that_tests_a_release_is_believed_only_when_it_ends_well(tmp_path, behaviour, code):
    (tmp_path / "behaviour").write_text(behaviour)
    verdict = self_test_run(
        tmp_path, None, module="tests.node.self_test_child", timeout_seconds=2 if behaviour == "hang" else 30
    )
    assert (verdict.has_passed, verdict.code) == (behaviour == "pass", code)


def test_every_refusal_of_an_install_has_a_code(desk):
    with pytest.raises(FederationError) as refusal:
        desk.install(desk.make("adapter", base=desk.make("base")))
    assert refusal.value.code == "base_missing"


def test_where_the_disk_is_short_what_ran_before_makes_room_and_what_runs_stays(desk):
    first, second, third = (desk.make(name) for name in ("first", "second", "third"))
    desk.commit(first)
    desk.commit(second)
    assert slots_read(desk.root).previous == index_digest(first)

    def disk_free(_path):
        return 10**9 if not release_path(desk.root, index_digest(first)).exists() else 0

    assert desk.install(third, disk_free=disk_free) is InstallState.TRIAL
    assert release_path(desk.root, index_digest(second)).exists()
    trial_revert(root=desk.root, error_code="x", now=NOW)
    assert desk.running() == "second"


def test_on_trial_what_ran_before_is_not_given_up_for_room(desk):
    first, second, third = (desk.make(name) for name in ("first", "second", "third"))
    desk.commit(first)
    desk.install(second)
    with pytest.raises(DiskFull):
        desk.install(third, disk_free=lambda _path: 0)
    assert release_path(desk.root, index_digest(first)).exists()
    assert desk.running() == "second"


def test_a_half_download_of_another_release_is_cleared_away_by_the_next(desk):
    first, second = desk.make("first"), desk.make("second")
    _half_download(desk, first)
    assert desk.install(second) is InstallState.TRIAL
    assert not download_path(desk.root, index_digest(first)).exists()


def test_a_half_download_outlives_a_pause_of_its_rollout_but_not_for_ever(desk):
    first = desk.make("first")
    _half_download(desk, first)
    now = datetime.now(UTC)
    superseded_remove(root=desk.root, assigned=None, now=now + timedelta(days=13))
    assert download_path(desk.root, index_digest(first)).exists()
    superseded_remove(root=desk.root, assigned=None, now=now + timedelta(days=15))
    assert not download_path(desk.root, index_digest(first)).exists()


def _half_download(desk, index):
    class Cut(DirectoryBlobSource):
        """A stick that is pulled out after the first chunk of the weights."""

        is_out = False

        def read_range(self, sha256, start, length):
            if self.is_out:
                raise LinkLost(sha256=sha256, problem="cut")
            self.is_out = length > CHUNK_BYTES
            yield from super().read_range(sha256, start, min(length, CHUNK_BYTES))

    with pytest.raises(LinkLost):
        desk.install(index, source=Cut(desk.blobs))
    assert (download_path(desk.root, index_digest(index)) / "journal").exists()

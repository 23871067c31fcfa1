"""The installer under every order of assignments, cuts at any write, refusals, crashes and reverts: its own services.

A cut is an exception at the n-th write of a step: a flush, a rename, a deletion, or a statement that changes a table.
What must hold after every step: the state can be read, what is current is whole and can be opened, nothing half stands
under a release's name, and once something ran there is always something to run.
"""

import contextlib
import itertools
import json
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from federation.errors import FederationError
from federation.trust.blob_sources import DirectoryBlobSource
from federation.trust.release_bytes import index_build, index_digest, index_read, index_verify
from federation.wire.releases import InstallState, ReleaseKind
from node.installed.hardware import Gauges
from node.installed.models import InstallRecord
from node.installed.self_test import SelfTestVerdict
from node.installed.services import (
    active_release,
    install_is_settled,
    install_reports,
    release_install,
    superseded_remove,
    trial_commit,
    trial_load_begin,
    trial_revert,
)
from node.installed.state import TRIES, Phase, slots_read

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
CUTS = st.one_of(st.none(), st.integers(1, 45))
SMALL = st.integers(0, 4)
WRITES = ("fsync", "replace", "rename", "rmdir", "unlink", "link")
PASSED = SelfTestVerdict(has_passed=True, code="", detail="")
REFUSED = SelfTestVerdict(has_passed=False, code="self_test_failed", detail="")


class PowerCut(BaseException):
    """The PC goes dark: no handler of the program's may make it good."""


@contextlib.contextmanager
def cut_at_write(number):
    """Let the `number`-th write from here on not happen, nor anything after it; None: all happen."""
    if number is None:
        yield
        return
    left = itertools.count(number - 1, -1)

    def write(real):
        def instead(*arguments, **options):
            if next(left) <= 0:
                raise PowerCut
            return real(*arguments, **options)

        return instead

    def statement(execute, sql, params, many, context):
        if sql.startswith(("INSERT", "UPDATE", "DELETE")) and next(left) <= 0:
            raise PowerCut
        return execute(sql, params, many, context)

    with pytest.MonkeyPatch.context() as patch, connection.execute_wrapper(statement):
        for name in WRITES:
            patch.setattr(os, name, write(getattr(os, name)))
        with contextlib.suppress(PowerCut):
            yield


class Installer(RuleBasedStateMachine):
    """One school's disk and database, and a stick with three bases and an adapter."""

    @initialize()
    def begin(self):
        InstallRecord.objects.all().delete()
        self.place = Path(tempfile.mkdtemp(prefix="soro-installer-"))
        self.root, self.blobs = self.place / "node", self.place / "blobs"
        self.root.mkdir()
        self.releases = [(self._make(f"base {number}", None), None) for number in range(3)]
        base = self.releases[0][0]
        self.releases.append((self._make("adapter", base), base))
        self.sequence, self.has_run, self.wanted = 0, False, None

    def teardown(self):
        shutil.rmtree(getattr(self, "place", "/nonexistent"), ignore_errors=True)

    @rule(which=SMALL)
    def assign(self, which):
        self.sequence += 1
        self.wanted = self.releases[which % len(self.releases)]

    @precondition(lambda self: self.wanted is not None)
    @rule(cut=CUTS, passes=st.booleans())
    def install(self, cut, passes):
        with cut_at_write(cut):
            self._install(PASSED if passes else REFUSED)

    @rule(cut=CUTS)
    def the_engine_loads(self, cut):
        with cut_at_write(cut):
            trial_load_begin(root=self.root, now=NOW)

    @rule(cut=CUTS)
    def the_engine_answers(self, cut):
        with cut_at_write(cut):
            trial_commit(root=self.root, now=NOW)

    @rule(cut=CUTS)
    def the_engine_gives_up(self, cut):
        with cut_at_write(cut), contextlib.suppress(FederationError):
            trial_revert(root=self.root, error_code="trial_silent", now=NOW)

    @precondition(lambda self: self.wanted is not None)
    @rule(cut=CUTS)
    def clear_away(self, cut):
        with cut_at_write(cut):
            superseded_remove(root=self.root, assigned=index_digest(self.wanted[0]), now=NOW)

    @rule()
    def report(self):
        for report in install_reports(root=self.root, now=NOW):
            if report.state is InstallState.COMMITTED and report.sequence == self.sequence:
                assert slots_read(self.root).current == report.release

    @invariant()
    def what_is_current_is_whole(self):
        if not hasattr(self, "root"):
            return
        slots = slots_read(self.root)
        assert 0 <= slots.tries_left <= TRIES
        active = active_release(root=self.root)
        assert (active.digest if active else None) == slots.current
        if active is not None:
            for directory in {active.package, (active.adapter or active.package / "x").parent}:
                index_verify(directory, index_read(directory))
        if slots.phase is Phase.COMMITTED:
            self.has_run = True
        assert not self.has_run or slots.current is not None

    @invariant()
    def nothing_half_stands_under_a_releases_name(self):
        for directory in (getattr(self, "root", Path("/nonexistent")) / "releases").glob("*"):
            index = index_read(directory)
            assert index_digest(index) == directory.name
            index_verify(directory, index)

    def undisturbed(self):
        """A fresh assignment, left alone, is installed."""
        if slots_read(self.root).phase is Phase.TRIAL:
            trial_commit(root=self.root, now=NOW)
        self.sequence += 1
        self.wanted = self.releases[self.sequence % len(self.releases)]
        self._install(PASSED)
        trial_load_begin(root=self.root, now=NOW)
        trial_commit(root=self.root, now=NOW)
        digest = index_digest(self.wanted[0])
        assert slots_read(self.root).current == digest
        install_reports(root=self.root, now=NOW)
        assert install_is_settled(root=self.root, digest=digest, sequence=self.sequence)

    @rule()
    def go_on_undisturbed(self):
        self.undisturbed()

    def _install(self, verdict):
        index, base = self.wanted
        with contextlib.suppress(FederationError):
            release_install(
                root=self.root,
                index=index,
                base_index=base,
                sequence=self.sequence,
                source=DirectoryBlobSource(self.blobs),
                clock=lambda: NOW,
                self_test=lambda _package, _adapter: verdict,
                disk_free=lambda _path: 10**12,
                gauges=Gauges(memory_available=lambda _root: 10**12),
            )

    def _make(self, name, base):
        package = self.place / "made" / name
        package.mkdir(parents=True)
        (package / ("adapter.bin" if base else "model.bin")).write_bytes(name.encode() * 500)
        (package / "card.json").write_text(json.dumps({"name": name}))
        kind = ReleaseKind.ADAPTER if base else ReleaseKind.BASE
        digest = index_digest(base) if base else None
        index = index_build(package=package, kind=kind, version=1, title=name, base=digest, contributions=())
        for entry in index.files:
            path = self.blobs / entry.sha256[:2] / entry.sha256
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(package / entry.path, path)
        return index


@pytest.mark.slow
@pytest.mark.django_db
def test_in_any_order_of_cuts_refusals_and_reverts_a_whole_release_is_ready_to_run():
    run_state_machine_as_test(
        Installer,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

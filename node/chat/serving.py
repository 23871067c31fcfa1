"""What the engine process holds: the release that `state.json` names, loaded, and the trial of a new one.

A release on trial stays only after it has answered a question here, in the process that will serve it. Anything that it
does wrong before that brings the previous one back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from django.db import close_old_connections

from federation.adapter_file import adapter_read
from federation.errors import CapacityError, FederationError
from federation.inference.adapter import adapter_expand
from federation.inference.engine import Engine, adapter_factors
from federation.inference.graph_session import NO_FACTORS, Factors
from federation.inference.package import package_open
from federation.inference.prompt import Role, Turn
from node.chat.engine_events import NoReleaseInstalled, ReleaseNotAtHand, ReleaseNotLoaded
from node.installed.services import ActiveRelease, releases_beside, trial_commit, trial_load_begin, trial_revert
from node.installed.state import STATE_NAME, Phase, slots_read

TRIAL_QUESTION = "Салом! Пойтахти Тоҷикистон кадом шаҳр аст?"
TRIAL_TOKENS = 24
# As many pupils are answered at once; more wait in the queue.
ROWS = 16
_log = logging.getLogger(__name__)


class TrialSilent(CapacityError):
    """The release on trial answered nothing."""

    code = "trial_silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A loaded release."""

    digest: str
    version: int
    package: Path
    engine: Engine
    factors: Factors | None = None
    """Of a release that answers beside the one that runs; None: those that are active in the engine."""


class Serving:
    """The engine of the release that runs; not for two threads at once."""

    def __init__(self, *, root: Path, clock: Callable[[], datetime]) -> None:
        """Nothing is loaded before `follow`."""
        self._root = root
        self._clock = clock
        self._followed: int | None = -1
        self.served: Served | None = None
        self._beside: dict[str, Served] = {}
        self.failure_code = ""

    def is_due(self) -> bool:
        """Return whether `state.json` was written since it was followed last."""
        return self._stamp() != self._followed

    def follow(self) -> None:
        """Load what `state.json` names if it is not loaded yet; a release on trial is tried, then kept or left."""
        # Following may write the file itself, so what is remembered is how it stood before.
        self._followed = self._stamp()
        self._beside_drop()
        try:
            self._follow()
        finally:
            close_old_connections()

    def of(self, digest: str) -> Served:
        """Return the release `digest` with the loaded engine; empty: the one that runs.

        Raises:
            ReleaseNotLoaded, NoReleaseInstalled: nothing is loaded.
            ReleaseNotAtHand: it cannot answer beside the one that runs.
            AdapterRefused, EngineFailed: its adapter cannot be loaded.
        """
        if self.failure_code:
            raise ReleaseNotLoaded(reason=self.failure_code)
        if self.served is None:
            raise NoReleaseInstalled
        if digest in {"", self.served.digest}:
            return self.served
        if digest not in self._beside:
            self._beside[digest] = self._load_beside(self.served, digest)
        return self._beside[digest]

    def _load_beside(self, served: Served, digest: str) -> Served:
        """Load the small part of a release alone: its base is the one that is loaded."""
        beside = next((each for each in releases_beside(root=self._root) if each.digest == digest), None)
        if beside is None or beside.package != served.package:
            raise ReleaseNotAtHand(release=digest)
        adapter = self._adapter(beside)
        factors = NO_FACTORS if adapter is None else adapter_factors(adapter)
        return replace(served, digest=digest, version=beside.index.version, factors=factors)

    def _beside_drop(self) -> None:
        for served in self._beside.values():
            if served.factors is not None:
                served.engine.factors_drop(served.factors)
        self._beside.clear()

    def _stamp(self) -> int | None:
        path = self._root / STATE_NAME
        return path.stat().st_mtime_ns if path.exists() else None

    def _follow(self) -> None:
        slots = slots_read(self._root)
        is_loaded = self.served is not None and self.served.digest == slots.current
        if is_loaded and slots.phase is not Phase.TRIAL:
            return
        try:
            active = trial_load_begin(root=self._root, now=self._clock())
            self.served = self._load(active) if active else None
            self.failure_code = ""
            if slots_read(self._root).phase is Phase.TRIAL:
                self._try_out()
        except FederationError as error:
            self._recover(error)
        except (RuntimeError, OSError) as error:
            # The inference library raises these bare; a release must not escape its trial by an odd one.
            _log.exception("the release breaks the engine")
            self._recover(ReleaseNotLoaded(reason=type(error).__name__))

    def _load(self, active: ActiveRelease) -> Served:
        adapter = self._adapter(active)
        self._stale_remove(keep=adapter)
        held = self.served
        if held is not None and held.package == active.package:
            held.engine.swap_adapter(adapter)
            engine = held.engine
        else:
            # A school PC may not have the memory for two bases at once, so the old one goes first.
            self.served = held = None
            engine = Engine.load(active.package, adapter, rows=ROWS)
        _log.info("release %s (version %d) loaded", active.digest, active.index.version)
        return Served(digest=active.digest, version=active.index.version, package=active.package, engine=engine)

    def _adapter(self, active: ActiveRelease) -> Path | None:
        """Return the adapter in the form that the engine takes; it is made anew at each load and never trusted kept."""
        if active.adapter is None or active.index.base is None:
            return None
        folder = self._root / "engine"
        folder.mkdir(exist_ok=True)
        adapter = adapter_read(active.adapter, base_digest=active.index.base)
        card = package_open(active.package)
        draft, expanded = folder / f".{active.digest}.part", folder / f"{active.digest}.onnx_adapter"
        adapter_expand(adapter, card=card, into=draft)
        draft.replace(expanded)
        return expanded

    def _stale_remove(self, *, keep: Path | None) -> None:
        for stale in (self._root / "engine").glob("*.onnx_adapter"):
            if stale != keep:
                stale.unlink()

    def _try_out(self) -> None:
        if self.served is None:
            return
        words = self.served.engine.answer([Turn(Role.USER, TRIAL_QUESTION)], max_new_tokens=TRIAL_TOKENS)
        if not words:
            raise TrialSilent(release=self.served.digest)
        trial_commit(root=self._root, now=self._clock())
        _log.info("release %s has answered and stays", self.served.digest)

    def _recover(self, error: FederationError) -> None:
        self.served = None
        if slots_read(self._root).phase is Phase.TRIAL:
            _log.warning("release on trial refused: %s", error)
            trial_revert(root=self._root, error_code=error.code, now=self._clock())
            self._follow()
            return
        _log.error("no release can be loaded: %s", error)
        self.failure_code = error.code

"""Changes the program: what is begun is brought to its end first, then a newer one is taken, if one lies ready.

Rules, in order:
1. A program that TUF does not vouch for is not looked at; an older one than that in use, or one that was given up here,
   is not taken.
2. It is laid and rehearsed while the older one serves. A program that fails there is given up; nothing was touched.
3. From the stop of the service on, `update.json` says before each step how to go on after a cut.
4. The new program stays once it has served. Else the older one comes back, with its database where that was migrated,
   and the new one is given up. The code that does all this is that of the last program which has proved itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from federation.errors import TrustError
from federation.trust.durable import durable_rename
from federation.trust.errors import DiskFull
from federation.trust.release_bytes import index_digest
from federation.wire.releases import ReleaseIndex
from node.programs.errors import ProgramCrashLoop, ProgramOlder
from node.programs.place import ProgramPlace, form_for, number_of, version_of
from node.programs.services import fetched_path
from node.programs.state import (
    Candidate,
    Update,
    UpdatePhase,
    at_rest,
    gave_up,
    going_back,
    gone_back,
    is_given_up,
    is_overtaken,
    switch_begun,
    trial_begun,
    trial_passed,
    try_begun,
    update_read,
    update_write,
)
from node.updater.children import AsUser, StepUnanswered, ask_user
from node.updater.laying import folder_of, program_lay, versions_remove
from node.updater.vouched import program_vouched, ready_digest

_log = logging.getLogger(__name__)


class Service(Protocol):
    """The service that runs whatever `current` names."""

    def stop(self) -> None:
        """Return when nothing of it runs any more."""

    def start(self) -> None:
        """Return when it was told to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a program may take to serve, in seconds; on a slow disk a first start takes minutes."""

    page_seconds: float = 180.0
    serving_seconds: float = 600.0
    settle_seconds: float = 60.0


class Updater:
    """One run; what it needs of the PC is given to it, so that tests need neither root nor systemd."""

    def __init__(
        self,
        *,
        place: ProgramPlace,
        data: Path,
        port: int,
        service: Service,
        clock: Callable[[], datetime],
        patience: Patience,
        as_user: AsUser = ask_user,
    ) -> None:
        """Prepare it: the page of the service is at `port`."""
        self.place, self.data, self.port, self.service = place, data, port, service
        self.clock, self.patience, self.as_user = clock, patience, as_user

    def run(self) -> None:
        """Bring to its end what a cut has left, then take the program that lies ready, if it may be taken.

        Raises:
            FederationError: nothing is changed, or `run` goes on with it when it is called again.
        """
        self._finish()
        digest = ready_digest(self.data)
        if not digest or is_given_up(update_read(self.place.opt), digest):
            versions_remove(place=self.place, keep=())
            return
        index = program_vouched(place=self.place, data=self.data, digest=digest, now=self.clock())
        if index.title == version_of(self.place.current):
            return
        if index.version <= number_of(self.place.current):
            raise ProgramOlder(version=index.title)
        if self._prepare(index):
            self._finish()

    def _prepare(self, index: ReleaseIndex) -> bool:
        """Lay the program and rehearse it; tell whether it is to run now."""
        digest, form = index_digest(index), form_for(self.place.current)
        versions_remove(place=self.place, keep=[self.place.versions / folder_of(index, form)])
        try:
            fetched = fetched_path(self.data, digest)
            folder = program_lay(place=self.place, index=index, form=form, fetched=fetched, now=self.clock())
        except TrustError as error:
            self._give_up(index, error.code, str(error))
            return False
        said = self.as_user(
            self.data, "rehearse", f"--program={folder}", f"--patience-seconds={self.patience.page_seconds}"
        )
        if said.code == DiskFull.code:
            raise StepUnanswered(step="rehearse", problem=said.detail)
        if said.code:
            self._give_up(index, said.code, said.detail)
            return False
        candidate = Candidate(
            digest=digest,
            version=index.title,
            folder=folder.name,
            previous=self.place.current.resolve().name,
            has_engine=not self.as_user(self.data, "engine").code,
        )
        self._write(switch_begun(update_read(self.place.opt), candidate))
        return True

    def _finish(self) -> None:
        update = update_read(self.place.opt)
        candidate = update.candidate
        if candidate is None:
            return
        if is_overtaken(update, current=self.place.current.resolve().name):
            self._write(at_rest(update))
            return
        if update.phase is UpdatePhase.SWITCHING:
            update = self._switch(update, candidate)
        if update.phase is UpdatePhase.TRIAL:
            update = self._try(update, candidate)
        if update.phase is UpdatePhase.GOING_BACK:
            update = self._go_back(update, candidate)
        if update.phase is UpdatePhase.TIDYING:
            self.service.start()
            self.as_user(self.data, "forget")
            self._write(at_rest(update))

    def _switch(self, update: Update, candidate: Candidate) -> Update:
        if self.place.current.resolve().name != candidate.folder:
            # Only so long as the older program is the one that starts: after a cut the newer one may have migrated.
            self.service.stop()
            if code := self._keep():
                return self._write(going_back(update, code=code))
            link_replace(self.place.current, candidate.folder)
        return self._write(trial_begun(update))

    def _keep(self) -> str:
        """Copy the database aside; return why that was not possible. Whatever it is, the school is not left waiting."""
        try:
            return self.as_user(self.data, "keep").code
        except StepUnanswered as error:
            return error.code

    def _try(self, update: Update, candidate: Candidate) -> Update:
        if update.tries_left < 1:
            return self._write(going_back(update, code=ProgramCrashLoop.code))
        update = self._write(try_begun(update))
        self.service.start()
        arguments = [f"--port={self.port}", *(["--has-engine"] if candidate.has_engine else [])]
        arguments += [f"--patience-seconds={self.patience.serving_seconds}"]
        arguments += [f"--settle-seconds={self.patience.settle_seconds}"]
        said = self.as_user(self.data, "serves", *arguments)
        if said.code:
            return self._write(going_back(update, code=said.code))
        link_replace(self.place.updater, candidate.folder)
        _log.info("the program is %s now", candidate.version)
        return self._write(trial_passed(update))

    def _go_back(self, update: Update, candidate: Candidate) -> Update:
        _log.warning("the program %s does not serve: %s", candidate.version, update.code)
        self.service.stop()
        if self.place.current.resolve().name == candidate.folder:
            # Only where the newer program may have run; as long as the link names it, nothing was put back.
            said = self.as_user(self.data, "put_back")
            if said.code:
                raise StepUnanswered(step="put_back", problem=said.code)
            link_replace(self.place.current, candidate.previous)
            _log.warning("the program is %s again %s", version_of(self.place.current), said.detail)
        return self._write(gone_back(update, now=self.clock()))

    def _give_up(self, index: ReleaseIndex, code: str, detail: str) -> None:
        _log.warning("the program %s is given up: %s %s", index.title, code, detail)
        update = update_read(self.place.opt)
        now = self.clock()
        self._write(gave_up(update, digest=index_digest(index), version=index.title, code=code, now=now))

    def _write(self, update: Update) -> Update:
        update_write(self.place.opt, update)
        return update


def link_replace(link: Path, version: str) -> None:
    """Let `link` name the folder `version`: after a cut it names the old one or the new one."""
    draft = link.with_name(f".{link.name}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(Path("versions") / version)
    durable_rename(draft, link)

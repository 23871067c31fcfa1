"""A school's PC behind a bad link: what it does in a day, and what must be true of it after every step of that."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from django.utils import timezone

from federation.errors import FederationError
from federation.trust.release_bytes import index_digest, index_read, index_verify
from federation.wire.sheet import Sheet
from node.installed.self_test import SelfTestVerdict
from node.installed.services import active_release, trial_commit, trial_load_begin
from node.installed.state import Phase, slots_read
from node.outbox.models import Parcel
from node.outbox.services import parcels_waiting
from node.ratings.models import Rating
from node.ratings.services import Opinion, rating_record, rating_withdraw
from node.sync.enrol import sheet_enrol
from node.sync.errors import AlreadyEnrolled
from node.sync.models import SeenAssignment
from node.sync.services import Contact, ContactReport, ContactTimes
from node.sync.transport import http_client
from tests.node.conftest import answer_make
from tests.real_centre import RealCentre

NO_WAITING = ContactTimes(trial_seconds=0, poll_seconds=0.01, delivery_poll_seconds=0.01)
PASSED = SelfTestVerdict(has_passed=True, code="", detail="")


def package_make(folder: Path, *, size_bytes: int, seed: int = 0) -> Path:
    """Leave a package of incompressible bytes, with a card that every node can run."""
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps({"format": 1, "seed": seed}))
    (folder / "model.bin").write_bytes(bytes((seed * 31 + n * n % 251 + n // 256) % 256 for n in range(size_bytes)))
    return folder


@dataclass
class School:
    """The node at `root`, which knows its centre by `url` only: that is where the bad link begins."""

    root: Path
    url: str
    on_self_test: Callable[[], object] = lambda: None
    contacts: int = 0
    errors: list[str] = field(default_factory=list)

    def enrol(self, centre: RealCentre, name: str) -> None:
        """Enrol, as often as it takes."""
        invitation = centre.ask("invite", name=name)
        while True:
            try:
                sheet_enrol(root=self.root, sheet=Sheet(address=self.url, authority_sha256="", **invitation))
            except AlreadyEnrolled:
                return
            except FederationError as error:
                self._note(error)
            else:
                return

    def contact(self) -> ContactReport | None:
        """Hold one contact, and return how it went; None where there was none."""
        http, counter = http_client()
        self.contacts += 1
        assert self.contacts < 2000, self.errors[-20:]
        try:
            with http:
                report = Contact(
                    root=self.root,
                    http=http,
                    counter=counter,
                    clock=timezone.now,
                    times=NO_WAITING,
                    self_test=self._self_test,
                ).hold()
        except FederationError as error:
            self._note(error)
            return None
        for error in report.failures.values():
            self._note(error)
        return report

    def engine_start(self) -> None:
        """Load what is to be loaded and answer with it, as the engine does."""
        if slots_read(self.root).phase is Phase.TRIAL:
            trial_load_begin(root=self.root, now=timezone.now())
            trial_commit(root=self.root, now=timezone.now())

    def rate(self, teacher: object, stars: int) -> Rating:
        """Rate a new answer."""
        opinion = Opinion(stars=stars, correction="Душанбе аст.")
        return rating_record(answer=answer_make(), teacher=teacher, opinion=opinion, now=timezone.now(), root=self.root)

    def revise(self, rating: Rating, stars: int) -> Rating:
        """Rate the same answer once more."""
        return rating_record(
            answer=rating.answer,
            teacher=rating.teacher,
            opinion=Opinion(stars=stars),
            now=timezone.now(),
            root=self.root,
        )

    def withdraw(self, rating: Rating) -> None:
        """Take a rating back."""
        rating_withdraw(rating=rating, now=timezone.now())

    def said(self) -> dict[str, tuple[int, int | None, bool]]:
        """Return what the centre should have in the end: the last revision, its stars, whether it is deleted."""
        held: dict[str, tuple[int, int | None, bool]] = {}
        for parcel in Parcel.objects.order_by("revision"):
            is_deleted = parcel.kind == Parcel.Kind.TOMBSTONE
            held[parcel.record_id] = (parcel.revision, None if is_deleted else parcel.body["stars"], is_deleted)
        return held

    def is_done(self, release: str) -> bool:
        """Tell whether nothing waits and `release` runs, as far as the centre knows as well."""
        slots = slots_read(self.root)
        return not parcels_waiting() and slots.current == release and slots.phase is Phase.COMMITTED

    def _self_test(self, _package: Path, _adapter: Path | None) -> SelfTestVerdict:
        self.on_self_test()
        return PASSED

    def _note(self, error: FederationError) -> None:
        self.errors.append(error.code)


def school_expect_sound(root: Path) -> str | None:
    """Assert what no fault and no cut may ever break, and return what is ready to be served."""
    for directory in (root / "releases").glob("*"):
        assert index_digest(index_read(directory)) == directory.name
        index_verify(directory, index_read(directory))
    active = active_release(root=root)
    current = slots_read(root).current
    assert (active.digest if active else None) == current
    sequences = list(SeenAssignment.objects.values_list("sequence", flat=True))
    assert len(sequences) <= 1
    for rating in Rating.objects.active():
        assert Parcel.objects.filter(record_id=rating.record_id, revision=rating.revision).count() == 1
    return current

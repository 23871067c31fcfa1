"""What things cost on the link, in bytes of HTTP both ways, without TLS: measured at a proxy, with a real centre.

Used by the tests of the bounds and by `make bench-sync`; needs the node's Django settings, whoever set them up.
"""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

from django.contrib.auth.models import User

from federation.trust.blob_sources import HttpBlobSource
from federation.trust.errors import LinkLost
from federation.trust.fetch import files_size_bytes, release_fetch
from federation.trust.release_bytes import index_build
from federation.wire.releases import ReleaseKind
from node.ratings.services import Opinion, rating_record
from node.sync.session_token import session_token_forget, session_token_read
from node.sync.transport import http_client
from tests.fault_proxy import FaultProxy, Link
from tests.node.conftest import answer_make
from tests.node.faults import School
from tests.real_centre import RealCentre
from tests.tajik_ratings import written_ratings

FLAKY_CUT_BYTES = 5 * 1024 * 1024
FLAKY_PAYLOAD_BYTES = 60 * 1024 * 1024
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def idle_checkin_bytes(school: School, proxy: FaultProxy, *, opens_session: bool = False) -> int:
    """Return what a contact costs in which neither side has anything to say, after all that was to be done is done."""
    for _ in range(3):
        school.contact()
    if opens_session:
        session_token_forget(school.root)
    before = proxy.tally.bytes_total
    report = school.contact()
    assert report is not None, school.errors
    assert not report.failures, report.failures
    return proxy.tally.bytes_total - before


def ratings100_bytes(school: School, proxy: FaultProxy, teacher: User) -> int:
    """Return what the contact costs, beyond an idle one, that brings a hundred written ratings to the centre."""
    idle = idle_checkin_bytes(school, proxy)
    for written in written_ratings(100):
        opinion = Opinion(
            stars=written.stars,
            reasons=written.reasons,
            correction=written.correction,
            subject=written.subject,
            grade=written.grade,
        )
        answer = answer_make(question=written.question, text=written.answer)
        rating_record(answer=answer, teacher=teacher, opinion=opinion, now=NOW, root=school.root)
    before = proxy.tally.bytes_total
    school.contact()
    return proxy.tally.bytes_total - before - idle


def flaky_bytes_ratio(school: School, centre: RealCentre, work: Path, *, payload_bytes: int) -> float:
    """Return bytes on the link over bytes of the release, for a fetch over a link that drops every 5 MB."""
    folder = work / "flaky"
    folder.mkdir()
    (folder / "model.bin").write_bytes(os.urandom(payload_bytes))
    centre.ask("store", folder=str(folder))
    index = index_build(package=folder, kind=ReleaseKind.BASE, version=1, title="flaky", base=None, contributions=())
    with FaultProxy(centre.url, link=Link(cut_every_bytes=FLAKY_CUT_BYTES)) as proxy:
        http, _ = http_client()
        with http:
            http.headers["Authorization"] = f"Bearer {session_token_read(school.root)}"
            source = HttpBlobSource(client=http, base_url=proxy.url)
            into = work / "release"
            while not into.exists():
                with contextlib.suppress(LinkLost):
                    release_fetch(index=index, source=source, into=into, partial=work / "partial")
        assert proxy.tally.faults["cut"] >= payload_bytes // FLAKY_CUT_BYTES
        return proxy.tally.bytes_total / files_size_bytes(index.files)

"""PCs of one school: each gives the others what it has, over real HTTP and real mDNS on the loopback interface."""

import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import anyio
import httpx
import pytest
from django.utils import timezone

from federation.trust.blob_sources import HttpBlobSource
from federation.trust.errors import ChunkMismatch, LinkLost
from federation.trust.fetch import release_fetch
from federation.trust.peers import peer_client
from federation.trust.release_bytes import index_digest, index_files, index_verify
from federation.trust.tuf_client import TrustedReleases, root_accept, trusted_read
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.relay import Holdings
from federation.wire.releases import CHUNK_BYTES, InstallState
from node.children import child_environment
from node.installed.disk import download_path, release_path
from node.installed.models import InstallRecord
from node.sync.announcement import Announcement
from node.sync.dark import neighbours_install
from node.sync.enrol import enrolment_read
from node.sync.loop import contacts_hold
from node.sync.neighbours import NAME, Neighbours, neighbours_read, peers_at_hand
from node.sync.relay import relay_run
from node.sync.relay_door import MOST_AT_ONCE, RelayDoor
from node.sync.services import Contact, ContactTimes
from node.sync.shelf import Shelf
from node.sync.transport import http_client
from tests.stations import free_port

pytestmark = pytest.mark.django_db
NO_WAITING = ContactTimes(trial_seconds=0, poll_seconds=0.01, delivery_poll_seconds=0.01)


@pytest.fixture
def index(centre, tmp_path):
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "card.json").write_text("{}")
    (folder / "model.onnx.data").write_bytes(random.Random(3).randbytes(5 * CHUNK_BYTES + 9))
    return centre.publish(folder)


class Neighbour:
    """Another PC of the school: its directory, as its own contacts with the centre left it."""

    def __init__(self, root, centre):
        self.root, self.centre = root, centre
        root.mkdir()
        root_accept(root=root / "tuf", metadata=centre.root_metadata, fingerprint=centre.fingerprint)

    def refresh(self, *, index=None):
        with httpx.Client() as client:
            trusted = TrustedReleases(root=self.root / "tuf", base_url=self.centre.url, client=client)
            trusted.refresh(now=timezone.now())
            if index is not None:
                trusted.index_fetch(index_digest(index))

    def fetch(self, index, *, variant="", source=None):
        self.refresh(index=index)
        with httpx.Client() as client, peer_client() as others:
            return release_fetch(
                index=index,
                variant=variant,
                source=source or HttpBlobSource(client=client, base_url=self.centre.url),
                into=release_path(self.root, index_digest(index)),
                partial=download_path(self.root, index_digest(index), variant),
                peers=lambda: peers_at_hand(self.root, others),
            )


@pytest.fixture
def neighbour(tmp_path, centre):
    return Neighbour(tmp_path / "neighbour", centre)


@contextmanager
def relays(*roots, is_shared=lambda: True):
    """Keep the doors of these PCs open and yield them, once each PC has heard of the others."""
    stopping = threading.Event()
    ports = {root: free_port() for root in roots}
    doors = [f"http://127.0.0.1:{port}" for port in ports.values()]
    threads = [
        threading.Thread(
            target=relay_run,
            kwargs={
                "root": root,
                "host": "127.0.0.1",
                "port": port,
                "is_shared": is_shared,
                "stopping": stopping,
                "look_seconds": 0.1,
            },
        )
        for root, port in ports.items()
    ]
    for thread in threads:
        thread.start()
    try:
        await_true(lambda: all(len({*neighbours_read(root)} & {*doors}) == len(roots) - 1 for root in roots))
        yield doors
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def await_true(holds, seconds=40):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def listens(door):
    try:
        httpx.get(door, trust_env=False)
    except httpx.HTTPError:
        return False
    return True


def contact(root):
    http, counter = http_client()
    with http:
        return Contact(root=root, http=http, counter=counter, clock=timezone.now, times=NO_WAITING).hold()


def ask(neighbour, path, *, method="GET", **headers):
    return asks(neighbour, [(method, path, headers)])[0]


def asks(neighbour, requests, **options):
    """Return the answers of the door itself to requests made at once."""
    answers = {}

    async def one(client, number, method, path, headers):
        answers[number] = await client.request(method, path, headers=headers)

    async def all_of_them():
        door = RelayDoor(Shelf(neighbour.root), **options)
        transport = httpx.ASGITransport(app=door)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://pc") as client,
            anyio.create_task_group() as group,
        ):
            for number, (method, path, headers) in enumerate(requests):
                group.start_soon(one, client, number, method, path, headers)

    anyio.run(all_of_them)
    return [answers[number] for number in range(len(requests))]


def blobs_asked_of(centre):
    return [asked for asked in centre.requests if "/blobs/" in asked]


def test_a_release_that_a_neighbour_has_comes_from_it_and_not_over_the_schools_link(school, centre, neighbour, index):
    neighbour.fetch(index)
    centre.assign(node_id=enrolment_read(school).node_id, sequence=1, release=index_digest(index))
    centre.requests.clear()
    with relays(school, neighbour.root):
        assert tuple(contact(school).failures) == ()
    assert blobs_asked_of(centre) == []
    # The package is no model, so that its self-test refuses it, after all of it has come.
    (report,) = centre.check_ins[-1].installs
    assert (report.error_code, report.bytes_fetched) == ("package_incomplete", 0)


@pytest.fixture
def forms(centre, tmp_path):
    """A base of two variants: one file is in both, and of the weights two chunks, at other places."""
    rng, packages = random.Random(8), {}
    shared = rng.randbytes(2 * CHUNK_BYTES)
    for name, content in (("int8", rng.randbytes(CHUNK_BYTES) + shared), ("fp16", shared + rng.randbytes(CHUNK_BYTES))):
        packages[name] = tmp_path / "forms" / name
        packages[name].mkdir(parents=True)
        (packages[name] / "model.onnx.data").write_bytes(content)
        (packages[name] / "words.bin").write_bytes(b"words" * 1000)
    return centre.publish_variants(packages)


def test_a_neighbour_with_another_variant_gives_what_both_have_in_common(school, centre, neighbour, forms):
    neighbour.fetch(forms, variant="int8")
    centre.assign(node_id=enrolment_read(school).node_id, sequence=1, release=index_digest(forms), variant="fp16")
    centre.requests.clear()
    with relays(school, neighbour.root):
        assert tuple(contact(school).failures) == ()
    assert {asked.split()[-1].rpartition("/")[2] for asked in blobs_asked_of(centre)} == {
        index_files(forms, "fp16")[0].sha256
    }
    # The package is no model, so that its self-test refuses it, after all of it has come.
    (report,) = centre.check_ins[-1].installs
    assert (report.error_code, report.bytes_fetched) == ("package_incomplete", CHUNK_BYTES)


def test_what_a_neighbour_has_of_a_variant_while_it_fetches_it_is_given_too(centre, neighbour, forms):
    with pytest.raises(LinkLost):
        neighbour.fetch(forms, variant="fp16", source=OneChunk(centre.blobs, index_files(forms, "fp16")[0].sha256))
    holdings = parse(Holdings, ask(neighbour, f"/holdings/{index_digest(forms)}").content)
    # Three chunks of weights and one of words in each variant: 0 to 3, then 4 to 7.
    assert holdings.chunks == bytes([0b01001000])
    weights = index_files(forms, "int8")[0].sha256
    content = (centre.blobs / weights).read_bytes()
    middle = f"bytes={CHUNK_BYTES}-{2 * CHUNK_BYTES - 1}"
    assert ask(neighbour, f"/blobs/{weights}", Range=middle).content == content[CHUNK_BYTES : 2 * CHUNK_BYTES]
    assert ask(neighbour, f"/blobs/{weights}", Range=f"bytes={CHUNK_BYTES}-{2 * CHUNK_BYTES}").status_code == 404


class OneChunk:
    """The centre's blobs over a link that ends behind the first chunk of one of them."""

    def __init__(self, blobs, sha256):
        self.blobs, self.sha256 = blobs, sha256

    def read_range(self, sha256, start, length):
        if sha256 == self.sha256 and start == 0:
            yield (self.blobs / sha256).read_bytes()[: min(length, CHUNK_BYTES)]
        raise LinkLost(sha256=sha256, problem="cut")


class SlowBlobs:
    """The centre's blobs over a slow link, which counts what crosses it."""

    def __init__(self, blobs):
        self.blobs, self.bytes = blobs, 0

    def read_range(self, sha256, start, length):
        content = (self.blobs / sha256).read_bytes()[start : start + length]
        for at in range(0, length, 64 * 1024):
            time.sleep(0.02)
            self.bytes += len(content[at : at + 64 * 1024])
            yield content[at : at + 64 * 1024]


@pytest.mark.slow
def test_pcs_that_begin_at_the_same_moment_fetch_a_release_about_once(centre, tmp_path):
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "model.onnx.data").write_bytes(random.Random(3).randbytes(24 * CHUNK_BYTES))
    index = centre.publish(folder)
    pcs = [Neighbour(tmp_path / str(number), centre) for number in range(3)]
    for pc in pcs:
        pc.refresh(index=index)
    link = SlowBlobs(centre.blobs)
    with relays(*(pc.root for pc in pcs)):
        threads = [threading.Thread(target=pc.fetch, args=(index,), kwargs={"source": link}) for pc in pcs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for pc in pcs:
        index_verify(release_path(pc.root, index_digest(index)), index)
    # Two that choose the same run at once give way to one another; what little they had begun comes twice.
    assert link.bytes <= 1.1 * 24 * CHUNK_BYTES


def test_while_the_centre_is_away_the_assigned_release_comes_from_a_neighbour(school, centre, neighbour, index):
    neighbour.fetch(index)
    centre.assign(node_id=enrolment_read(school).node_id, sequence=1, release=index_digest(index))
    (centre.blobs / index.files[0].sha256).unlink()
    assert "install" in contact(school).failures
    centre.stop()
    assert neighbours_install(root=school, clock=timezone.now) is None
    with relays(school, neighbour.root):
        state = neighbours_install(root=school, clock=timezone.now)
    assert state is InstallState.REVERTED
    assert InstallRecord.objects.get().error_code == "package_incomplete"


def test_while_the_centre_is_away_the_assigned_variant_comes_from_a_neighbour(school, centre, neighbour, forms):
    neighbour.fetch(forms, variant="fp16")
    centre.assign(node_id=enrolment_read(school).node_id, sequence=1, release=index_digest(forms), variant="fp16")
    (centre.blobs / index_files(forms, "fp16")[0].sha256).unlink()
    assert "install" in contact(school).failures
    centre.stop()
    with relays(school, neighbour.root):
        assert neighbours_install(root=school, clock=timezone.now) is InstallState.REVERTED
    assert InstallRecord.objects.get().error_code == "package_incomplete"


def test_two_half_downloads_of_two_variants_are_given_as_one(centre, neighbour, forms):
    """The PC was assigned another variant meanwhile: of each it has the chunk that the other lacks."""
    first, second = (index_files(forms, name)[0].sha256 for name in ("int8", "fp16"))
    for variant, weights in (("int8", first), ("fp16", second)):
        with pytest.raises(LinkLost):
            neighbour.fetch(forms, variant=variant, source=OneChunk(centre.blobs, weights))
    content = (centre.blobs / first).read_bytes()
    both = f"bytes=0-{2 * CHUNK_BYTES - 1}"
    assert ask(neighbour, f"/blobs/{first}", Range=both).content == content[: 2 * CHUNK_BYTES]


class Once(threading.Event):
    """Set as soon as anybody waits for it."""

    def wait(self, _timeout=None):
        self.set()
        return True


def test_the_loop_turns_to_neighbours_when_no_contact_comes_about(school, centre, neighbour, index):
    neighbour.fetch(index)
    centre.assign(node_id=enrolment_read(school).node_id, sequence=1, release=index_digest(index))
    (centre.blobs / index.files[0].sha256).unlink()
    contact(school)
    centre.stop()
    with relays(school, neighbour.root):
        contacts_hold(root=school, clock=timezone.now, rng=random.Random(1), stopping=Once(), times=NO_WAITING)
    assert InstallRecord.objects.get().error_code == "package_incomplete"


def test_stale_metadata_of_a_neighbour_installs_nothing(school, centre, neighbour, index):
    neighbour.fetch(index)
    centre.assign(node_id=enrolment_read(school).node_id, sequence=1, release=index_digest(index))
    (centre.blobs / index.files[0].sha256).unlink()
    contact(school)
    centre.stop()
    before = trusted_read(school / "tuf")
    with relays(school, neighbour.root):
        assert neighbours_install(root=school, clock=lambda: timezone.now() + timedelta(days=400)) is None
    assert trusted_read(school / "tuf") == before
    assert InstallRecord.objects.get().status == "downloading"
    assert not release_path(school, index_digest(index)).exists()


def test_older_metadata_of_a_neighbour_brings_no_withdrawn_release_back(school, centre, neighbour, index):
    neighbour.fetch(index)
    centre.assign(node_id=enrolment_read(school).node_id, sequence=1, release=index_digest(index))
    (centre.blobs / index.files[0].sha256).unlink()
    contact(school)
    centre.withdraw(index_digest(index))
    contact(school)
    centre.stop()
    with relays(school, neighbour.root):
        assert neighbours_install(root=school, clock=timezone.now) is None
    assert trusted_read(school / "tuf").releases == ()
    assert not release_path(school, index_digest(index)).exists()


def test_a_door_that_the_head_has_closed_is_neither_open_nor_known(school, neighbour):
    is_shared = True
    with relays(school, neighbour.root, is_shared=lambda: is_shared) as (door, _):
        assert httpx.get(f"{door}/holdings/{'0' * 64}", trust_env=False).status_code == 404
        is_shared = False
        await_true(lambda: not (school / NAME).exists() and not (neighbour.root / NAME).exists())
        await_true(lambda: not listens(door))


@pytest.mark.slow
def test_the_relay_is_a_process_that_is_heard_of_and_ends_when_it_is_told_to(tmp_path):
    root, port = tmp_path / "pc", free_port()
    environment = child_environment(root)
    subprocess.run([sys.executable, "-m", "django", "migrate", "--verbosity", "0"], env=environment, check=True)
    relay = subprocess.Popen([sys.executable, "-m", "django", "relay", "--port", str(port)], env=environment)
    heard = Announcement(root=tmp_path, addresses=["127.0.0.1"], port=free_port())
    try:
        await_true(lambda: f"http://127.0.0.1:{port}" in neighbours_read(tmp_path))
        assert httpx.get(f"http://127.0.0.1:{port}/holdings/{'0' * 64}", trust_env=False).status_code == 404
        relay.send_signal(signal.SIGTERM)
        assert relay.wait(timeout=15) == 0
        await_true(lambda: f"http://127.0.0.1:{port}" not in neighbours_read(tmp_path))
    finally:
        heard.close()
        relay.kill()
        relay.wait()


def test_the_door_gives_trusted_chunks_and_public_metadata(neighbour, index, centre):
    neighbour.fetch(index)
    digest, weights = index_digest(index), index.files[1]
    said = parse(Holdings, ask(neighbour, f"/holdings/{digest}").content)
    assert said == Holdings(release=digest, chunks=b"\xfe", fetching=())
    answer = ask(neighbour, f"/blobs/{weights.sha256}", Range=f"bytes=7-{CHUNK_BYTES + 7}")
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, f"bytes 7-{CHUNK_BYTES + 7}/*")
    assert answer.content == (centre.blobs / weights.sha256).read_bytes()[7 : CHUNK_BYTES + 8]
    for path in ("metadata/timestamp.json", "metadata/1.root.json", f"targets/releases/{digest}.{digest}.json"):
        assert ask(neighbour, f"/tuf/{path}").content == httpx.get(f"{centre.url}/tuf/{path}", trust_env=False).content


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/node.json",
        "/keys/node.pem",
        "/blobs/../node.json",
        "/tuf/metadata/../../node.json",
        "/tuf/metadata/root.json",
        "/tuf/metadata/99.targets.json",
        "/tuf/metadata/trusted.json",
        f"/holdings/{'0' * 64}",
        f"/holdings/{'0' * 63}/",
    ],
)
def test_the_door_gives_nothing_else(neighbour, index, path):
    neighbour.fetch(index)
    (neighbour.root / "node.json").write_text("secret")
    answer = ask(neighbour, path)
    assert (answer.status_code, answer.content) == (404, b"")


def test_no_file_of_the_node_is_a_blob_and_no_range_is_longer_than_a_run(neighbour, index):
    neighbour.fetch(index)
    (neighbour.root / "node.json").write_text("secret")
    weights = index.files[1].sha256
    assert (
        ask(
            neighbour, f"/blobs/{'2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b'}", Range="bytes=0-5"
        ).status_code
        == 404
    )
    assert ask(neighbour, f"/blobs/{weights}").status_code == 416
    assert ask(neighbour, f"/blobs/{weights}", Range="bytes=0-4194304").status_code == 416
    assert ask(neighbour, f"/blobs/{weights}", Range=f"bytes=0-{index.files[1].size_bytes}").status_code == 404
    assert ask(neighbour, f"/blobs/{weights}", method="POST").status_code == 405


def test_a_withdrawn_release_is_given_to_nobody(neighbour, index, centre):
    neighbour.fetch(index)
    centre.withdraw(index_digest(index))
    neighbour.refresh()
    assert release_path(neighbour.root, index_digest(index)).exists()
    assert ask(neighbour, f"/holdings/{index_digest(index)}").status_code == 404
    assert ask(neighbour, f"/blobs/{index.files[1].sha256}", Range="bytes=0-5").status_code == 404


def test_of_a_half_fetched_release_only_verified_chunks_are_given(neighbour, index, centre):
    weights = index.files[1]
    blob = centre.blobs / weights.sha256
    blob.write_bytes(blob.read_bytes()[: 3 * CHUNK_BYTES] + bytes(2 * CHUNK_BYTES + 9))
    with pytest.raises(ChunkMismatch):
        neighbour.fetch(index)
    said = parse(Holdings, ask(neighbour, f"/holdings/{index_digest(index)}").content)
    assert said.chunks == b"\xf0"
    given = [
        ask(neighbour, f"/blobs/{weights.sha256}", Range=f"bytes={start}-{start + 9}").status_code
        for start in (0, 3 * CHUNK_BYTES - 10, 3 * CHUNK_BYTES - 5, 3 * CHUNK_BYTES)
    ]
    assert given == [206, 206, 404, 404]


def test_all_askers_together_keep_to_one_pace_and_too_many_at_once_are_told_to_come_later(neighbour, index):
    neighbour.fetch(index)
    ranges = {"Range": f"bytes=0-{CHUNK_BYTES - 1}"}
    requests = [("GET", f"/blobs/{index.files[1].sha256}", ranges)] * (MOST_AT_ONCE + 3)
    began = time.monotonic()
    statuses = [answer.status_code for answer in asks(neighbour, requests, bytes_a_second=4 * CHUNK_BYTES)]
    assert sorted(set(statuses)) == [206, 503]
    assert statuses.count(206) == MOST_AT_ONCE
    # The first second's bytes are there at once; the rest take theirs.
    assert time.monotonic() - began > MOST_AT_ONCE / 4 - 1.5


def test_a_list_of_neighbours_that_cannot_be_read_is_empty(tmp_path):
    assert neighbours_read(tmp_path) == ()
    (tmp_path / NAME).write_bytes(b"{")
    assert neighbours_read(tmp_path) == ()
    (tmp_path / NAME).write_bytes(canonical_bytes(Neighbours(doors=tuple(f"http://10.0.0.{n}:1" for n in range(99)))))
    assert len(neighbours_read(tmp_path)) == 16

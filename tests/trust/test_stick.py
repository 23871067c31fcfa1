"""Sticks: what is sealed opens for its reader alone, what lies on one is not believed, and a cut costs one file."""

import errno
import os
import zlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.trust import stick_layout as layout
from federation.trust.errors import BlobUnavailable, LinkLost
from federation.trust.keys import UnsuitableKey
from federation.trust.sealing import _SUITE, FORM, sealed, sealed_open
from federation.trust.stick_blobs import StickBlobSource, part_pieces, parts_missing
from federation.trust.stick_disk import StickDisk
from federation.trust.stick_errors import (
    LetterTooLong,
    LetterUnreadable,
    StickCrowded,
    StickForbidden,
    StickFull,
    StickGone,
    StickUnknown,
)
from federation.trust.stick_returns import SentFile, returns_read, returns_write
from federation.wire.canonical import canonical_bytes, sha256_hex
from federation.wire.courier import StickMark
from federation.wire.releases import CHUNK_BYTES, FileEntry

KEY, OTHER = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
SENDER = "ab" + "0" * 62
LIMIT = 10_000
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class FailingStick(StickDisk):
    """Fails with `error` once `bytes_left` more bytes were written, as a medium does in the midst of a write."""

    def __init__(self, place, *, bytes_left, error=errno.EIO):
        super().__init__(place)
        self.bytes_left, self.error = bytes_left, error

    def written(self, handle, piece):
        super().written(handle, piece[: self.bytes_left])
        self.bytes_left -= len(piece)
        if self.bytes_left < 0:
            raise OSError(self.error, "the medium fails")


@pytest.fixture
def stick(tmp_path):
    (tmp_path / "stick").mkdir()
    disk = StickDisk(tmp_path / "stick")
    disk.prepare()
    return disk


def tree(stick):
    """Return every file on the stick with its bytes."""
    return {path.relative_to(stick.place): path.read_bytes() for path in stick.place.rglob("*") if path.is_file()}


def opened(content, key=KEY, kind="parcels", limit_bytes=LIMIT):
    return sealed_open(content, kind=kind, key=key, limit_bytes=limit_bytes)


@given(st.binary(max_size=LIMIT))
@FEW
def test_what_is_sealed_opens_as_it_was(content):
    assert opened(sealed(content, kind="parcels", reader=KEY.public_key())) == content


@given(st.binary(max_size=200), st.data())
@FEW
def test_a_sealed_file_that_was_cut_or_altered_anywhere_does_not_open(content, data):
    whole = sealed(content, kind="parcels", reader=KEY.public_key())
    place = data.draw(st.integers(0, len(whole) - 1))
    altered = bytearray(whole)
    altered[place] ^= data.draw(st.integers(1, 255))
    for wrong in (whole[:place], bytes(altered), whole + b"x"):
        with pytest.raises(LetterUnreadable):
            opened(wrong)


def test_a_sealed_file_opens_neither_for_another_reader_nor_as_another_kind():
    whole = sealed(b"words", kind="parcels", reader=KEY.public_key())
    with pytest.raises(LetterUnreadable):
        opened(whole, key=OTHER)
    with pytest.raises(LetterUnreadable):
        opened(whole, kind="check-in")
    with pytest.raises(UnsuitableKey):
        sealed(b"words", kind="parcels", reader=ed25519.Ed25519PrivateKey.generate().public_key())


def test_a_bomb_is_refused_once_it_passes_its_limit():
    bomb = sealed(b"\0" * 50_000_000, kind="parcels", reader=KEY.public_key())
    assert len(bomb) < 60_000
    with pytest.raises(LetterTooLong):
        opened(bomb)
    assert opened(sealed(b"\0" * LIMIT, kind="parcels", reader=KEY.public_key())) == b"\0" * LIMIT


def test_a_stream_that_does_not_end_is_refused():
    unended = zlib.compress(b"words" * 9)[:-5]
    content = FORM + _SUITE.encrypt(unended, KEY.public_key(), info=b"soro stick 1 parcels")
    with pytest.raises(LetterUnreadable):
        opened(content)


def test_a_folder_that_the_centre_has_not_prepared_is_no_stick(tmp_path):
    disk = StickDisk(tmp_path)
    with pytest.raises(StickUnknown, match="not_prepared"):
        disk.open()
    with pytest.raises(StickUnknown, match="no_folder"):
        StickDisk(tmp_path / "absent").prepare()
    disk.write(layout.MARK, [canonical_bytes(StickMark(format="soro-stick", version=2))])
    with pytest.raises(StickUnknown, match="other_version"):
        disk.open()


@given(st.lists(st.binary(max_size=300), max_size=4))
@FEW
def test_a_written_file_reads_back_whole_and_by_ranges(stick, pieces):
    stick.write("letters/ab/file.sealed", pieces)
    whole = b"".join(pieces)
    assert stick.read("letters/ab/file.sealed", limit_bytes=len(whole)) == whole
    assert stick.read_range("letters/ab/file.sealed", 1, 7) == whole[1:8]
    assert stick.size_bytes("letters/ab/file.sealed") == len(whole)
    assert stick.names("letters/ab") == ("file.sealed",)


@pytest.mark.parametrize("cut", range(0, 41, 8))
def test_a_write_that_is_cut_leaves_the_old_file_and_the_next_one_succeeds(stick, cut):
    stick.write("letters/ab/file.sealed", [b"old"])
    before = tree(stick)
    with pytest.raises(StickGone):
        FailingStick(stick.place, bytes_left=cut).write("letters/ab/file.sealed", [b"n" * 41])
    assert {path: held for path, held in tree(stick).items() if path.suffix != ".tmp"} == before
    stick.write("letters/ab/file.sealed", [b"new"])
    assert stick.read("letters/ab/file.sealed", limit_bytes=3) == b"new"
    assert stick.names("letters/ab") == ("file.sealed",)


@pytest.mark.parametrize(
    ("number", "refusal"), [(errno.ENOSPC, StickFull), (errno.EROFS, StickForbidden), (errno.ENODEV, StickGone)]
)
def test_what_the_file_system_says_becomes_the_sticks_own_error(stick, number, refusal):
    before = tree(stick)
    with pytest.raises(refusal):
        FailingStick(stick.place, bytes_left=0, error=number).write("letters/ab/file.sealed", [b"words"])
    assert tree(stick) == before


def test_links_pipes_and_devices_are_no_files(stick, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file.sealed").write_bytes(b"secret")
    inside = stick.place / "soro"
    (inside / "letters").symlink_to(secret)
    (inside / "blobs").mkdir()
    (inside / "blobs" / "link.sealed").symlink_to(secret / "file.sealed")
    os.mkfifo(inside / "blobs" / "pipe.sealed")
    (inside / "blobs" / "zero.sealed").symlink_to("/dev/zero")
    assert stick.read("letters/file.sealed", limit_bytes=100) is None
    assert stick.names("letters") == ()
    for name in ("link", "pipe", "zero"):
        assert stick.read(f"blobs/{name}.sealed", limit_bytes=100) is None
    with pytest.raises(StickUnknown):
        stick.write("letters/file.sealed", [b"overwritten"])
    assert (secret / "file.sealed").read_bytes() == b"secret"


def test_a_link_where_the_draft_is_written_is_not_written_through(stick, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    stick.write("letters/ab/one.sealed", [b"1"])
    (stick.place / "soro" / "letters" / "ab" / "file.sealed.tmp").symlink_to(victim)
    stick.write("letters/ab/file.sealed", [b"words"])
    assert victim.read_bytes() == b"mine"
    assert stick.read("letters/ab/file.sealed", limit_bytes=9) == b"words"


@pytest.mark.parametrize("way", ["..", "letters/../..", "./..", "letters/ab/../../../", "/", ""])
def test_no_path_leaves_the_stick(stick, way):
    outside = stick.place / "outside.sealed"
    outside.write_bytes(b"mine")
    stick.write("letters/ab/one.sealed", [b"1"])
    path = f"{way}/outside.sealed"
    assert stick.read(path, limit_bytes=100) is None
    assert stick.read(str(outside), limit_bytes=100) is None
    assert stick.names(way or "..") in ((), ("letters", "stick.json"))
    stick.remove(path)
    with pytest.raises(StickUnknown):
        stick.write(f"letters/../../{path}", [b"overwritten"])
    assert outside.read_bytes() == b"mine"


def test_a_file_longer_than_its_limit_and_a_crowded_folder_are_refused(stick):
    stick.write("letters/ab/file.sealed", [b"12345"])
    stick.write("letters/ab/two.sealed", [b""])
    with pytest.raises(LetterTooLong):
        stick.read("letters/ab/file.sealed", limit_bytes=4)
    with pytest.raises(StickCrowded):
        stick.names("letters/ab", most=1)


SENT = st.lists(
    st.builds(SentFile, kind=st.sampled_from(["parcels", "update"]), content=st.binary(max_size=400)), max_size=5
)


@given(SENT, SENT)
@FEW
def test_what_a_school_writes_is_what_the_centre_reads_and_nothing_of_the_time_before(stick, first, second):
    for files in (first, second):
        returns_write(disk=stick, sender=SENDER, files=files, reader=KEY.public_key())
        found = list(returns_read(source=stick, keys=[KEY]))
        assert [file.problem for file in found] == [None] * len(files)
        assert {file.sender for file in found} <= {SENDER}
        assert sorted((file.kind, file.content) for file in found) == sorted(
            (file.kind, file.content) for file in files
        )


@given(st.binary(max_size=300))
@FEW
def test_noise_in_a_schools_folder_is_named_and_hides_nothing_else(stick, noise):
    returns_write(
        disk=stick, sender=SENDER, files=[SentFile(kind="parcels", content=b"words")], reader=KEY.public_key()
    )
    stick.write(f"{layout.return_folder(SENDER)}/check-in.sealed", [noise])
    stick.write(f"{layout.return_folder(SENDER)}/unknown.sealed", [noise])
    stick.write(f"{layout.RETURNS}/ab/notes", [noise])
    noise_file, words = returns_read(source=stick, keys=[KEY])
    assert (noise_file.kind, noise_file.problem.code) == ("check-in", "letter_unreadable")
    assert (words.content, words.problem) == (b"words", None)


def test_a_school_for_which_there_is_no_room_leaves_its_folder_as_it_was(stick):
    class Crammed(StickDisk):
        def free_bytes(self):
            return 1000

    sent = [SentFile(kind="parcels", content=b"words")]
    returns_write(disk=stick, sender=SENDER, files=sent, reader=KEY.public_key())
    before = tree(stick)
    with pytest.raises(StickFull) as refused:
        returns_write(disk=Crammed(stick.place), sender=SENDER, files=sent * 2, reader=KEY.public_key())
    assert refused.value.fields["free_bytes"] == 1000
    assert tree(stick) == before


@pytest.fixture
def big(monkeypatch):
    """A file of three parts, with parts made small so that it stays so."""
    monkeypatch.setattr(layout, "PART_BYTES", 2 * CHUNK_BYTES)
    content = os.urandom(5 * CHUNK_BYTES + 11)
    chunks = tuple(sha256_hex(content[at : at + CHUNK_BYTES]) for at in range(0, len(content), CHUNK_BYTES))
    return (
        content,
        lambda _sha256, start, end: iter([content[start:end]]),
        FileEntry(path="big.bin", size_bytes=len(content), sha256=sha256_hex(content), chunks=chunks, tensors=()),
    )


def test_a_file_in_parts_reads_like_one_and_only_what_is_damaged_is_written_again(stick, big):
    content, read, entry = big
    missing = parts_missing(disk=stick, entry=entry)
    assert [part.size_bytes for part in missing] == [2 * CHUNK_BYTES, 2 * CHUNK_BYTES, CHUNK_BYTES + 11]
    for part in missing:
        stick.write(part.path, part_pieces(part, read))
    blobs = StickBlobSource(stick)
    for start, length in ((0, len(content)), (2 * CHUNK_BYTES - 5, 10), (len(content) - 3, 3)):
        assert b"".join(blobs.read_range(entry.sha256, start, length)) == content[start : start + length]
    with pytest.raises(BlobUnavailable):
        list(blobs.read_range(entry.sha256, len(content) - 3, 4))
    assert parts_missing(disk=stick, entry=entry) == []

    path = stick.place / "soro" / missing[1].path
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert parts_missing(disk=stick, entry=entry) == [missing[1]]


def test_a_stick_that_is_pulled_out_while_it_is_read_is_a_lost_link(stick, big, monkeypatch):
    _content, read, entry = big
    for part in parts_missing(disk=stick, entry=entry):
        stick.write(part.path, part_pieces(part, read))

    class Pulled(StickDisk):
        def read_range(self, path, start, length):
            if start:
                raise StickGone(place=str(self.place), problem="EIO")
            return super().read_range(path, start, length // 10)

    pieces = StickBlobSource(Pulled(stick.place)).read_range(entry.sha256, 0, 1000)
    assert len(next(pieces)) == 100
    with pytest.raises(LinkLost):
        next(pieces)


@given(st.integers(0, 10 * layout.PART_BYTES))
def test_parts_cover_a_file_exactly(size_bytes):
    sizes = layout.part_sizes(size_bytes)
    assert sum(sizes) == size_bytes
    assert all(0 < size <= layout.PART_BYTES for size in sizes)
    assert layout.PART_BYTES % CHUNK_BYTES == 0

"""Makes the installation stick of one school's PC.

Rules, in order:
1. All that may fail comes before the claim code, because drawing one voids the code that the school had.
2. The manifest is written last: until then an installer refuses the stick.
3. The code is on the stick or on a printed sheet, never on both; nothing else on the stick is secret.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from central.courier.cargo import indexes_in_force
from central.disk import CentreDisk
from central.installers import folder
from central.installers.program import TARGET, GatheredProgram, Progress, program_gather
from central.programs.models import Program
from central.releases.blob_store import Window, blob_store
from central.releases.errors import BaseNotReady
from central.releases.models import Release, ReleaseKindChoice
from central.schools.authority import authority_fingerprint, centre_address
from central.schools.errors import SchoolUnknown
from central.schools.invitations import DrawnCode, Render, sheets_print
from central.schools.models import School
from central.trust_root import root_fingerprint
from federation.trust import stick_layout as layout
from federation.trust.envelopes import FIRST_RELEASE, INSTALLER, envelope_seal
from federation.trust.fetch import RESERVE_BYTES, files_size_bytes
from federation.trust.keys import DirectorKey
from federation.trust.release_bytes import index_digest, index_files
from federation.trust.stick_disk import StickDisk
from federation.trust.stick_writer import CarriedRelease, StickContent, stick_write
from federation.trust.tuf_publisher import metadata_read, timestamp_refresh
from federation.wire.canonical import canonical_bytes
from federation.wire.installer import FirstRelease, InstallerManifest
from federation.wire.releases import ReleaseIndex

LEARNING_MEMORY_BYTES = 2304 * 1024 * 1024
"""Beside the package's own bytes: a training of the smallest model (decision 0052), the node and its system."""
DATA_BYTES = 512 * 1024 * 1024
"""For a first year of a school's conversations, logs and one backup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallerMade:
    """An installation stick that is ready."""

    school: str
    version: str
    release_version: int
    install_sha256: str
    """To be compared, on paper, with what the school's PC computes: then nothing on the stick was exchanged."""
    code_expires_at: datetime
    size_bytes: int
    learning: tuple[str, ...]
    """The versions of Python with which a PC learns, where its memory and disk allow it."""


def installer_build(
    *,
    place: Path,
    school: str,
    release: Release | None,
    pythons: Sequence[str],
    sheet: Render | None,
    sheet_path: Path | None,
    is_lean: bool,
    disk: CentreDisk,
    key: DirectorKey,
    actor: str,
    now: datetime,
    progress: Progress = lambda _step, _done, _total: None,
) -> InstallerMade:
    """Return what now lies at `place`: all that a PC of `school` needs to become its node.

    The newest base in force goes along where no `release` is named. One that `is_lean` is without what learning takes,
    and smaller by that. With `sheet`, the claim code is drawn on paper at
    `sheet_path` and not on the stick.

    Raises:
        SchoolUnknown, BaseNotReady, AddressMissing, RepositoryMissing, KeyUnreadable: nothing was begun.
        WheelsUnavailable, NodeCodeMissing: nothing was begun on the stick.
        StickFull, StickUnknown, StickForbidden, StickGone: the school's earlier code is as good as it was.
        RoleReadsOnly, OutsideRegion: `actor` has no say at the school; its earlier code is as good as it was.
    """
    chosen = School.objects.filter(name=school).first()
    if chosen is None:
        raise SchoolUnknown(name=school)
    base, address = _base(release), centre_address()
    stick = StickDisk(place)
    stick.expect_folder()
    with tempfile.TemporaryDirectory() as scratch:
        program = program_gather(
            pythons=pythons, kept=disk.installers, scratch=Path(scratch), is_lean=is_lean, progress=progress
        )
        with folder.stick_errors(place):
            stick.room_check(folder.wheels_missing_bytes(place, program.wheels) + layout.CLUSTER_BYTES)
            (place / folder.MANIFEST).unlink(missing_ok=True)
            (place / folder.CODE).unlink(missing_ok=True)
            progress("wheels", 0, 0)
            folder.wheels_lay(place, program.wheels)
    index = _release_lay(stick, base, disk, key, now, progress)
    with folder.stick_errors(place):
        install_sha256 = _program_lay(place, program, key)
        progress("digests", 0, 0)
        files = folder.files_digest(place)
        sizes = sum((place / name).stat().st_size for name in files)
    expires_at = now

    def render(drawn: Sequence[DrawnCode]) -> bytes:
        nonlocal expires_at
        expires_at = drawn[0].expires_at
        manifest = InstallerManifest(
            version=program.version,
            school=chosen.name,
            address=address,
            root_sha256=root_fingerprint(),
            authority_sha256=authority_fingerprint(),
            pythons=tuple(pythons),
            needs_bytes=program.unpacked_bytes + _base_bytes(index) + RESERVE_BYTES + DATA_BYTES,
            learning=tuple(program.learning),
            learning_bytes=program.learning_bytes,
            learning_memory_bytes=LEARNING_MEMORY_BYTES + _base_bytes(index),
            made_at=now,
            code_expires_at=expires_at,
            files=files,
        )
        paper = sheet(drawn) if sheet else b""
        with folder.stick_errors(place):
            if not paper:
                folder.file_put(place / folder.CODE, f"{drawn[0].code}\n".encode())
            content = envelope_seal(payload=canonical_bytes(manifest), kind=INSTALLER, key=key)
            folder.file_put(place / folder.MANIFEST, content)
        return paper

    paper = sheets_print(schools=[chosen], render=render, actor=actor, now=now)
    if sheet_path is not None:
        folder.file_put(sheet_path, paper)
        sheet_path.chmod(0o600)
    return InstallerMade(
        school=chosen.name,
        version=program.version,
        release_version=index.version,
        install_sha256=install_sha256,
        code_expires_at=expires_at,
        size_bytes=sizes,
        learning=tuple(program.learning),
    )


def _base(release: Release | None) -> Release:
    bases = Release.objects.in_force().filter(kind=ReleaseKindChoice.BASE)
    if release is not None:
        bases = bases.filter(pk=release.pk)
    base = bases.order_by("-version").first()
    if base is None:
        raise BaseNotReady(release=release.version if release else "—")
    return base


def _base_bytes(index: ReleaseIndex) -> int:
    return files_size_bytes(index_files(index, _first_variant(index)))


def _first_variant(index: ReleaseIndex) -> str:
    """Return the form that every PC can run (decision 0020)."""
    return index.variants[0].name if index.variants else ""


def _release_lay(
    stick: StickDisk, base: Release, disk: CentreDisk, key: DirectorKey, now: datetime, progress: Progress
) -> ReleaseIndex:
    """Return the index of the release that lies on the stick now, with the metadata that vouch for it."""
    timestamp_refresh(root=disk.tuf, keys=disk.keys, now=now)
    in_force = indexes_in_force()
    index = in_force[base.digest]
    word = FirstRelease(release=index_digest(index), variant=_first_variant(index), written_at=now)
    content = StickContent(
        metadata=metadata_read(root=disk.tuf),
        carried=[CarriedRelease(index=index, files=index_files(index, word.variant))],
        in_force=list(in_force.values()),
        letters={},
    )
    store = blob_store(disk)
    stick_write(
        disk=stick,
        content=content,
        read=lambda sha256, start, end: store.pieces(sha256, Window(start, end)),
        progress=lambda done, total: progress("release", done, total),
    )
    signed = envelope_seal(payload=canonical_bytes(word), kind=FIRST_RELEASE, key=key)
    stick.write(layout.FIRST_RELEASE, [signed])
    return index


def _program_lay(place: Path, program: GatheredProgram, key: DirectorKey) -> str:
    """Leave the installer and what it reads on the stick; return the installer's SHA-256."""
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    script = install_script(public)
    folder.file_put(place / folder.INSTALL, script, is_program=True)
    folder.requirements_lay(place, program.requirements)
    published = Program.objects.filter(version=program.version).first()
    if published is None:
        (place / folder.PROGRAM).unlink(missing_ok=True)
    else:
        folder.file_put(place / folder.PROGRAM, bytes(published.index_bytes))
    return hashlib.sha256(script).hexdigest()


def install_script(director: bytes) -> bytes:
    """Return the one file that a technician starts, which believes the director with this key and nobody else.

    It is the same for all schools of a centre, until the director's key or the program changes.
    """
    body = (TARGET / "install.py").read_text(encoding="utf-8")
    for name, imported in (("ed25519", "ed25519_verify"), ("words", "LANGUAGES, WORDS")):
        joined = (TARGET / f"{name}.py").read_text(encoding="utf-8")
        body = body.replace(f"from central.installers.target.{name} import {imported}\n", joined, 1)
    body = body.replace('DIRECTOR_KEY = ""', f'DIRECTOR_KEY = "{director.hex()}"', 1)
    for name in (
        "soro",
        "soro-update",
        "soro.service",
        "soro-update.service",
        "soro-update.timer",
        "soro-stick@.service",
        "90-soro-stick.rules",
    ):
        text = (TARGET / name).read_text(encoding="utf-8")
        body = body.replace(f'= "@{name}@"', f"= {text!r}", 1)
    return ((TARGET / "install.sh").read_text(encoding="utf-8") + body).encode()

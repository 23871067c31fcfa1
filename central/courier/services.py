"""Writes sticks and takes in what comes back; with `intake` the only writer of the app's tables.

What comes back goes through the very services that the doors call, so that a batch by stick and the same batch by link
are one batch. A file that cannot be used is noted with its code and school, and holds up no other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from central.courier.cargo import indexes_in_force, programs_in_force, programs_needed, releases_needed
from central.courier.intake import file_take_in, refused_requests_expire
from central.courier.letters import node_letter, refusal_letters
from central.courier.models import Trip, TripKind
from central.courier.zip_stream import stick_zip
from central.disk import CentreDisk
from central.releases.blob_store import Window, blob_store
from central.schools.audit import audit_record
from central.schools.errors import RoleReadsOnly
from central.schools.models import Node
from central.schools.reach import Reach, entity_of, reach_of_actor, steering_expect
from federation.errors import CapacityError, FederationError
from federation.trust.courier_keys import courier_keys_load
from federation.trust.keys import DirectorKey, key_id, public_key_load
from federation.trust.stick_blobs import BlobReader
from federation.trust.stick_disk import StickDisk
from federation.trust.stick_returns import ReturnedFile, ReturnsSource, returns_read
from federation.trust.stick_writer import StickContent, carried_files, stick_write
from federation.trust.tuf_publisher import metadata_read, timestamp_refresh

LOGGER = logging.getLogger(__name__)
MAX_PROBLEMS = 1000
MAX_PLACE = 300


def stick_export(
    *,
    stick: StickDisk,
    nodes: QuerySet[Node],
    disk: CentreDisk,
    key: DirectorKey,
    actor: str,
    now: datetime,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Trip:
    """Return the trip of a stick that now holds a letter for each of `nodes`, and all that they need to follow it.

    Raises:
        StickFull, StickUnknown, StickForbidden: nothing was begun.
        StickGone, StorageAway: pulled out, or the bucket is away; writing it again goes on where it was.
        RepositoryMissing, KeyUnreadable, AuthorityUnreadable: the centre has no keys, or not the certificate to pin.
        RoleReadsOnly, OutsideRegion: `actor` has no say at one of the schools; nothing was begun.
    """
    steering_expect(actor=actor, rows=list(nodes))
    stick.expect_folder()
    content, schools = stick_content(nodes=nodes, disk=disk, key=key, now=now)
    written = stick_write(
        disk=stick,
        content=content,
        read=_blobs_of(disk),
        progress=progress,
    )
    return _trip_record(
        kind=TripKind.TO_SCHOOLS,
        place=str(stick.place),
        actor=actor,
        now=now,
        schools=schools,
        files=written.letters,
        bytes_written=written.bytes_written,
    )


def stick_pack(
    *, nodes: QuerySet[Node], disk: CentreDisk, key: DirectorKey, actor: str, now: datetime
) -> Iterator[bytes]:
    """Return the pieces of a ZIP file that holds what `stick_export` would write.

    Raises:
        RepositoryMissing, KeyUnreadable, AuthorityUnreadable: the centre has no keys, or not the certificate to pin.
        RoleReadsOnly, OutsideRegion: `actor` has no say at one of the schools.
    """
    steering_expect(actor=actor, rows=list(nodes))
    content, schools = stick_content(nodes=nodes, disk=disk, key=key, now=now)
    _trip_record(
        kind=TripKind.TO_SCHOOLS,
        place="ZIP",
        actor=actor,
        now=now,
        schools=schools,
        files=len(content.letters),
        bytes_written=sum(entry.size_bytes for entry in carried_files(content)),
    )
    return stick_zip(content=content, read=_blobs_of(disk))


def _blobs_of(disk: CentreDisk) -> BlobReader:
    store = blob_store(disk)
    return lambda sha256, start, end: store.pieces(sha256, Window(start, end))


def stick_content(
    *, nodes: QuerySet[Node], disk: CentreDisk, key: DirectorKey, now: datetime
) -> tuple[StickContent, int]:
    """Return what a stick for `nodes` holds, and for how many schools; the timestamp is new, so that it lasts."""
    chosen = list(nodes)
    timestamp_refresh(root=disk.tuf, keys=disk.keys, now=now)
    letters = dict(refusal_letters(key=key, now=now))
    letters |= dict(node_letter(node=node, key=key, now=now) for node in chosen)
    in_force, programs = indexes_in_force(), programs_in_force()
    content = StickContent(
        metadata=metadata_read(root=disk.tuf),
        carried=[
            *releases_needed(nodes=chosen, in_force=in_force),
            *programs_needed(nodes=chosen, in_force=programs),
        ],
        in_force=[*in_force.values(), *programs.values()],
        letters=letters,
    )
    return content, len({node.school_id for node in chosen})


def stick_import(*, source: ReturnsSource, place: str, disk: CentreDisk, actor: str, now: datetime) -> Trip:
    """Return the trip of a stick whose files were all taken in, or noted with why not.

    Raises:
        KeyUnreadable: the courier's key is not on this machine.
        RoleReadsOnly: the role of `actor` brings nothing in.
    """
    reach = reach_of_actor(actor)
    if not reach.steers:
        raise RoleReadsOnly(user=actor)
    keys = courier_keys_load(disk.keys)
    refused_requests_expire(now=now)
    senders: dict[str, list[tuple[str, str]]] = {}
    taken, code = 0, ""
    try:
        for file in returns_read(source=source, keys=keys):
            problems = senders.setdefault(file.sender, [])
            problem = _problem(file, disk, now)
            if problem is None:
                taken += 1
            else:
                problems.append((file.kind, problem))
    except FederationError as error:
        # The stick or this machine gave up; what was taken stays taken, and the next reading takes the rest.
        LOGGER.warning("the reading of %s ended early: %s", place, error)
        code = error.code
    return _trip_record(
        kind=TripKind.FROM_SCHOOLS,
        place=place,
        actor=actor,
        now=now,
        schools=len(senders),
        files=taken,
        problems=_problems_plain(senders, reach),
        code=code,
    )


def _trip_record(
    *,
    kind: TripKind,
    place: str,
    actor: str,
    now: datetime,
    **facts: Any,  # noqa: ANN401 - fields of several types
) -> Trip:
    region = reach_of_actor(actor).region or ""
    with transaction.atomic():
        trip = Trip.objects.create(kind=kind, place=place[:MAX_PLACE], actor=actor, region=region, at=now, **facts)
        audit_record(actor=actor, entity=entity_of(trip), old="", new=kind, reason=place[:MAX_PLACE], now=now)
    return trip


def _problem(file: ReturnedFile, disk: CentreDisk, now: datetime) -> str | None:
    """Take the file in, or return the code for which it was not."""
    try:
        if file.problem is not None:
            raise file.problem
        file_take_in(kind=file.kind, content=file.content, disk=disk, now=now)
    except CapacityError:
        raise
    except FederationError as refusal:
        LOGGER.warning("a file (%s) of %s is not taken in: %s", file.kind, file.sender[:12], refusal)
        return refusal.code
    return None


def _problems_plain(senders: Mapping[str, Sequence[tuple[str, str]]], reach: Reach) -> list[dict[str, str]]:
    found = [(sender, kind, code) for sender, problems in senders.items() for kind, code in problems][:MAX_PROBLEMS]
    names = _school_names(reach) if found else {}
    return [
        {"sender": sender, "school": names.get(sender, ""), "kind": kind, "code": code} for sender, kind, code in found
    ]


def _school_names(reach: Reach) -> dict[str, str]:
    """Return the names of schools by the id of a PC's key: whose folder it is, for people; nothing is trusted by it."""
    known = reach.rows(Node.objects.exclude(public_key="")).values_list("public_key", "school__name")
    return {key_id(public_key_load(public_key)): name for public_key, name in known}

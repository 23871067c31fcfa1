"""The only writer of textbooks: a file is added or replaced, read once by one process, and a book is taken away.

Rules, in order: the file lies whole on the disk before its row says that it waits; the same bytes are one book, however
often they are given; a book's passages change all at once, so that whoever asks meanwhile has the old ones or the new;
a file goes when it has been read or has failed; one that was begun three times and never ended is not begun again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import IntegrityError, transaction
from django.db.models.functions import Greatest

from federation.errors import FederationError
from node.subjects import Subject
from node.textbooks.cutting import Cut
from node.textbooks.errors import (
    TextbookDamaged,
    TextbookMissing,
    TextbookReadingCut,
    TextbookRefused,
    TextbookThereAlready,
)
from node.textbooks.indexing import Words, words_index, words_of
from node.textbooks.kinds import HEAD_BYTES, kind_of
from node.textbooks.models import TITLE_CHARACTERS, Passage, Textbook
from node.textbooks.reading import ReadingUnwanted, file_read
from node.textbooks.shelf import Shelved, file_path, file_remove, file_shelve, files_sweep

MOST_TRIES = 3
LAST_GRADE = 11
_log = logging.getLogger(__name__)
_Status = Textbook.Status
_UNDER_WAY = (_Status.WAITING, _Status.READING)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a teacher says of a book; a grade of 0 and an empty subject are none."""

    title: str
    subject: str = ""
    grade: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file as it comes in: its pieces, and how long it claims to be."""

    content: Iterable[bytes]
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """The book, and whether there is anything to read: the same bytes may have been read before."""

    textbook: Textbook
    is_new: bool


def textbook_add(*, about: About, upload: Upload, root: Path, now: datetime) -> Added:
    """Return the book of this file; bytes that are here already make no second one.

    Raises:
        TextbookRefused: no title, no such subject or grade.
        TextbookTooBig, TextbookKindUnknown, DiskFull: the file is not kept.
    """
    told = _told(about)
    shelved = _shelve(upload, root)
    known = Textbook.objects.filter(sha256=shelved.sha256).first()
    if known is not None:
        return Added(textbook=known, is_new=_again(known, root))
    try:
        # The file may be the same as one that another teacher gives in this very moment.
        with transaction.atomic():
            textbook = Textbook.objects.create(
                title=told.title,
                subject=told.subject,
                grade=told.grade,
                sha256=shelved.sha256,
                size_bytes=shelved.size_bytes,
                added_at=now,
            )
    except IntegrityError:
        return Added(textbook=Textbook.objects.get(sha256=shelved.sha256), is_new=False)
    return Added(textbook=textbook, is_new=True)


def textbook_change(*, textbook: Textbook, about: About, upload: Upload | None, root: Path) -> bool:
    """Tell other things of a book, and give it another file if there is one; return whether there is one to read.

    Until that is read, the old passages stay.

    Raises:
        TextbookThereAlready: the file is that of another book.
        TextbookRefused, TextbookTooBig, TextbookKindUnknown, DiskFull: as `textbook_add`; nothing has changed.
    """
    told = _told(about)
    rows = Textbook.objects.filter(pk=textbook.pk)
    fields: dict[str, object] = {"title": told.title, "subject": told.subject, "grade": told.grade}
    if upload is None:
        rows.update(**fields)
        return False
    shelved = _shelve(upload, root)
    known = Textbook.objects.filter(sha256=shelved.sha256).first()
    if known is not None and known.pk != textbook.pk:
        if not known.is_under_way and known.status != _Status.STOPPED:
            file_remove(root, shelved.sha256)
        raise TextbookThereAlready(title=known.title)
    if known is not None:
        rows.update(**fields)
        return _again(known, root)
    try:
        # Somebody else may add the same file in this very moment.
        with transaction.atomic():
            rows.update(**fields, sha256=shelved.sha256, size_bytes=shelved.size_bytes, **_FRESH)
    except IntegrityError as error:
        raise TextbookThereAlready(title=told.title) from error
    file_remove(root, textbook.sha256)
    return True


def textbook_delete(*, textbook: Textbook, root: Path) -> None:
    """Take a book away with its passages; answers that cite it stay and say that it is gone."""
    Textbook.objects.filter(pk=textbook.pk).delete()
    file_remove(root, textbook.sha256)


def textbook_stop(*, textbook: Textbook) -> None:
    """End the reading of a book; its file stays until it is read on or the book is taken away."""
    under_way = Textbook.objects.filter(pk=textbook.pk, status__in=_UNDER_WAY)
    under_way.update(status=_Status.STOPPED)


def textbook_read_on(*, textbook: Textbook) -> None:
    """Let a book whose reading was stopped wait for it again."""
    Textbook.objects.filter(pk=textbook.pk, status=_Status.STOPPED).update(**_FRESH)


def textbook_of(number: int) -> Textbook:
    """Return the book with this number.

    Raises:
        TextbookMissing: there is none.
    """
    textbook = Textbook.objects.filter(pk=number).first()
    if textbook is None:
        raise TextbookMissing(number=number)
    return textbook


def shelf_clear(*, root: Path) -> None:
    """Take away what a cut has left on the shelf and no book waits for; while nobody adds any."""
    unread = Textbook.objects.filter(status__in=[*_UNDER_WAY, _Status.STOPPED])
    files_sweep(root, keep=set(unread.values_list("sha256", flat=True)))


def readings_wait() -> bool:
    """Return whether there are books to read, or in the middle of being read."""
    return Textbook.objects.filter(status__in=_UNDER_WAY).exists()


def textbook_read_next(*, root: Path, now: datetime) -> bool:
    """Read the book that waits longest; return whether there was one. For the one process that holds the lock.

    A book that is being read while nobody else may read was left by a cut, and is read from its beginning.
    """
    textbook = Textbook.objects.filter(status__in=_UNDER_WAY).order_by("added_at", "pk").first()
    if textbook is None:
        return False
    begun = Textbook.objects.filter(pk=textbook.pk, sha256=textbook.sha256, status=textbook.status)
    if begun.update(status=_Status.READING, tries=textbook.tries + 1, pages_read=0, pages_total=0) != 1:
        return True
    _read(textbook, root, now)
    return True


def _read(textbook: Textbook, root: Path, now: datetime) -> None:
    reading = Textbook.objects.filter(pk=textbook.pk, sha256=textbook.sha256, status=_Status.READING)

    def heard(read: int, total: int) -> bool:
        return reading.update(pages_read=read, pages_total=total) == 1

    try:
        if textbook.tries >= MOST_TRIES:
            raise TextbookReadingCut
        cuts = file_read(file_path(root, textbook.sha256), heard=heard)
        words = [words_of(heading=cut.heading, text=cut.text) for cut in cuts]
        _passages_replace(textbook, cuts, words, now)
    except ReadingUnwanted:
        return
    except FederationError as error:
        _log.warning("%s cannot be read: %s", textbook, error.code)
        reading.update(status=_Status.FAILED, error_code=error.code)
    except OSError:
        # The file has gone from the shelf, or the disk fails.
        _log.exception("%s cannot be read", textbook)
        reading.update(status=_Status.FAILED, error_code=TextbookDamaged.code)
    file_remove(root, textbook.sha256)


@transaction.atomic
def _passages_replace(textbook: Textbook, cuts: list[Cut], words: list[Words], now: datetime) -> None:
    reading = Textbook.objects.filter(pk=textbook.pk, sha256=textbook.sha256, status=_Status.READING)
    if reading.update(status=_Status.READY, read_at=now, pages_total=Greatest("pages_total", cuts[-1].page)) != 1:
        raise ReadingUnwanted
    textbook.passages.all().delete()
    passages = Passage.objects.bulk_create(
        [
            Passage(textbook=textbook, place=place, page=cut.page, heading=cut.heading, text=cut.text)
            for place, cut in enumerate(cuts)
        ]
    )
    words_index((passage.pk, of) for passage, of in zip(passages, words, strict=True))


_FRESH: dict[str, object] = {
    "status": _Status.WAITING,
    "tries": 0,
    "error_code": "",
    "pages_read": 0,
    "pages_total": 0,
}


def _again(known: Textbook, root: Path) -> bool:
    """Let a known file wait once more if it was not read; else it need not lie here. Return whether it waits now."""
    unread = Textbook.objects.filter(pk=known.pk, status__in=[_Status.FAILED, _Status.STOPPED])
    if unread.update(**_FRESH) == 1:
        return True
    if Textbook.objects.filter(pk=known.pk, status=_Status.READY).exists():
        file_remove(root, known.sha256)
    return False


def _shelve(upload: Upload, root: Path) -> Shelved:
    pieces = iter(upload.content)
    first = next(pieces, b"")
    kind_of(first[:HEAD_BYTES])

    def whole() -> Iterable[bytes]:
        yield first
        yield from pieces

    return file_shelve(root=root, content=whole(), size_bytes=upload.size_bytes)


def _told(about: About) -> About:
    title = " ".join(about.title.split())
    if not 0 < len(title) <= TITLE_CHARACTERS:
        raise TextbookRefused(reason="title")
    if about.subject not in Subject.values:
        raise TextbookRefused(reason="subject")
    if not 0 <= about.grade <= LAST_GRADE:
        raise TextbookRefused(reason="grade")
    return About(title=title, subject=about.subject, grade=about.grade)

"""Why something that a person did on the chat page is refused; each has a sentence in `node.sentences`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError

from federation.errors import CapacityError, TransportError, WireError


class QuestionRefused(WireError):
    """The question is empty or too long: it has `characters`, and may have 1 to `most`."""

    code = "question_refused"


class ConversationMissing(WireError):
    """The asker has no such conversation, or no such question in it."""

    code = "conversation_missing"


class TitleRefused(WireError):
    """A conversation's title is empty or longer than `most` characters."""

    code = "title_refused"


class HistoryRefused(WireError):
    """What a page sent as the earlier turns of a chat that is not stored is none, or too long."""

    code = "history_refused"


class LessonRefused(WireError):
    """The grade or the subject is not one that schools have."""

    code = "lesson_refused"


class TooManyWaiting(TransportError):
    """The asker has `waiting` questions without an answer already, and may have `most`."""

    code = "too_many_waiting"


class DeviceCrowded(TransportError):
    """From the guest's device `waiting` questions wait already, whichever browsers asked them; `most` may."""

    code = "device_crowded"


class StoreFull(CapacityError):
    """The disk has no room for what was to be kept."""

    code = "store_full"


@contextmanager
def room_expected() -> Iterator[None]:
    """Turn SQLite's word for a full disk into StoreFull; also a decorator.

    Raises:
        StoreFull: the disk is full. Nothing of the transaction is kept.
    Source: SQLite, "Result and Error Codes", SQLITE_FULL.
    """
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise StoreFull from error
        raise

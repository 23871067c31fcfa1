"""The two messages of a round: the centre's question, which names season and round, and the node's answer.

Refuses to know what an update means. An update travels as one uint8 `Array` in an `ArrayRecord`, because Flower
cuts arrays, and only arrays, into content-addressed chunks that are sent again one by one after a broken link; bytes in
a `ConfigRecord` would go as a single piece. The array's data are the raw bytes, so that nothing parses a NumPy header
that a stranger wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict

from federation.errors import WireError

_FILE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_QUESTION = "question"
_ANSWER = "answer"
_UPDATE = "update"
_RAW = "raw"


class FileIdRefused(WireError):
    """The id of a season or round is not 1 to 64 letters, digits, `-` or `_`, so it may not name a file.

    Fields: id (cut to 80).
    """

    code = "file_id_refused"


class AnswerRefused(WireError):
    """A node's answer has not the shape of one, or is too large. Fields: reason, size_bytes."""

    code = "answer_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a node said: the bytes of a finished update, or None when it has none to this season."""

    update: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the centre asks for: a finished update to any plan of the season, for the round that collects now."""

    season_id: str
    round_id: str


def file_id_checked(name: object) -> str:
    """Return `name` unchanged, which is then safe as a file name or the beginning of one.

    Raises:
        FileIdRefused: it is anything but 1 to 64 letters, digits, `-` or `_`.
    """
    if not isinstance(name, str) or _FILE_ID.fullmatch(name) is None:
        raise FileIdRefused(id=repr(name)[:80])
    return name


def question_make(*, season_id: str, round_id: str, flower_node_id: int, ttl_seconds: float) -> Message:
    """Return the message that asks one node for an update to a season."""
    content = RecordDict({_QUESTION: ConfigRecord({"season-id": season_id, "round-id": round_id})})
    return Message(content, flower_node_id, MessageType.TRAIN, ttl=ttl_seconds)


def question_read(message: Message) -> Question:
    """Return what a question names.

    Raises:
        FileIdRefused: it names no season or round that is safe as a file name.
    """
    record = message.content.get(_QUESTION)
    asked = record if isinstance(record, ConfigRecord) else ConfigRecord()
    return Question(season_id=file_id_checked(asked.get("season-id")), round_id=file_id_checked(asked.get("round-id")))


def answer_make(*, update: bytes | None, question: Message) -> Message:
    """Return the reply to `question` with the update's bytes, or with "nothing ready" when `update` is None."""
    content = RecordDict({_ANSWER: ConfigRecord({"ready": update is not None})})
    if update is not None:
        array = Array("uint8", (len(update),), _RAW, update)
        content[_UPDATE] = ArrayRecord({_UPDATE: array})
    return Message(content, reply_to=question)


def answer_read(message: Message, *, max_size_bytes: int) -> Answer:
    """Return what a node answered; its bytes are exactly those that it sent.

    Raises:
        AnswerRefused: the reply lacks the records of an answer, or the update is empty or above `max_size_bytes`.
    """
    record = message.content.get(_ANSWER)
    if not isinstance(record, ConfigRecord) or not isinstance(record.get("ready"), bool):
        raise AnswerRefused(reason="no_answer_record", size_bytes=0)
    if not record["ready"]:
        return Answer(update=None)
    arrays = message.content.get(_UPDATE)
    array = arrays.get(_UPDATE) if isinstance(arrays, ArrayRecord) else None
    if array is None or array.stype != _RAW:
        raise AnswerRefused(reason="no_update_array", size_bytes=0)
    if not 0 < len(array.data) <= max_size_bytes:
        raise AnswerRefused(reason="size", size_bytes=len(array.data))
    return Answer(update=array.data)

"""What a durable client has in hand between two moments of a link: a claimed question, or an answer half sent.

A SuperLink gives a question away once, and an answer's pieces belong to a session that it names once. Both are on the
disk before they are relied on, so that a power cut costs no question, and a piece that was taken is not sent again.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from federation.trust.durable import durable_write

_QUESTION = "question"
_SENDING = "sending.json"
_PIECES = "pieces"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """An answer that the SuperLink has begun to take: the session, and the ids of the pieces that it lacks."""

    run_id: int
    session_id: str
    lacking: tuple[str, ...]


class Letter:
    """The files of at most one exchange in `folder`; they survive the process."""

    def __init__(self, folder: Path) -> None:
        """Look at `folder`, which is made if it is not there."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def question_keep(self, question: bytes) -> None:
        """Hold a question that was claimed until it is answered."""
        durable_write(self.folder / _QUESTION, question)

    def question(self) -> bytes | None:
        """Return the question that was claimed and not answered yet."""
        path = self.folder / _QUESTION
        return path.read_bytes() if path.exists() else None

    def sending_keep(self, sending: Sending, pieces: dict[str, bytes]) -> None:
        """Hold an answer whose `pieces` are still to be taken; the question is answered by that."""
        (self.folder / _PIECES).mkdir(exist_ok=True)
        for name, content in pieces.items():
            durable_write(self.folder / _PIECES / name, content)
        fields = {"run_id": str(sending.run_id), "session_id": sending.session_id, "lacking": list(sending.lacking)}
        durable_write(self.folder / _SENDING, json.dumps(fields).encode())
        (self.folder / _QUESTION).unlink(missing_ok=True)

    def sending(self) -> Sending | None:
        """Return the answer that is half sent, without the pieces that were taken since."""
        path = self.folder / _SENDING
        if not path.exists():
            return None
        fields = json.loads(path.read_bytes())
        lacking = tuple(name for name in fields["lacking"] if (self.folder / _PIECES / name).exists())
        return Sending(run_id=int(fields["run_id"]), session_id=fields["session_id"], lacking=lacking)

    def piece(self, name: str) -> bytes:
        """Return a piece that is still to be taken."""
        return (self.folder / _PIECES / name).read_bytes()

    def piece_taken(self, name: str) -> None:
        """Let go of a piece that the SuperLink holds now."""
        (self.folder / _PIECES / name).unlink()

    def clear(self) -> None:
        """Have nothing in hand."""
        (self.folder / _QUESTION).unlink(missing_ok=True)
        (self.folder / _SENDING).unlink(missing_ok=True)
        shutil.rmtree(self.folder / _PIECES, ignore_errors=True)

"""The ClientApp: hands over an update that the school has already finished.

It never trains: a SuperNode that is cut off loses the message it was working on, so the answer must take seconds and
cost nothing to give again. Reads one file of the outbox folder that the school itself set in its node config.
"""

from __future__ import annotations

from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from federation.errors import CapacityError
from federation.learning.flower.messages import answer_make, question_read

app = ClientApp()


class OutboxUnset(CapacityError):
    """The SuperNode was started without `outbox` in its node config. Fields: none."""

    code = "outbox_unset"


@app.train()
def update_hand_over(message: Message, context: Context) -> Message:
    """Answer with the oldest update to the question's season in the outbox, or with "nothing ready" if there is none.

    The same question gets the same answer until the centre's receipt, on which the file is removed.

    Raises:
        FileIdRefused: the question's ids could name another file.
        OutboxUnset: this node's config names no outbox.
    """
    question = question_read(message)
    outbox = context.node_config.get("outbox")
    if not isinstance(outbox, str) or not outbox:
        raise OutboxUnset
    return answer_make(update=update_read(outbox=Path(outbox), season_id=question.season_id), question=message)


def update_read(*, outbox: Path, season_id: str) -> bytes | None:
    """Return the oldest of the files `<season_id>-<counter>.update`, or None; each appears by a rename, so it is whole.

    One that a receipt removes at this very moment is passed by.
    """
    found = [path for path in outbox.glob(f"{season_id}-*.update") if _counter(path, season_id) is not None]
    for path in sorted(found, key=lambda each: _counter(each, season_id) or 0):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            continue
    return None


def _counter(path: Path, season_id: str) -> int | None:
    counter = path.stem.removeprefix(f"{season_id}-")
    return int(counter) if counter.isdecimal() else None

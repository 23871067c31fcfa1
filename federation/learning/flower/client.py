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
    """Answer with the bytes of `<outbox>/<plan_id>.update`, or with "nothing ready" when that file is not there.

    The same question always gets the same answer, for the file is only removed on the centre's receipt.

    Raises:
        PlanIdRefused: the question's plan id could name another file.
        OutboxUnset: this node's config names no outbox.
    """
    plan_id = question_read(message)
    outbox = context.node_config.get("outbox")
    if not isinstance(outbox, str) or not outbox:
        raise OutboxUnset
    return answer_make(update=update_read(outbox=Path(outbox), plan_id=plan_id), question=message)


def update_read(*, outbox: Path, plan_id: str) -> bytes | None:
    """Return the finished update for a plan, or None when there is none; it appears by a rename, so it is whole."""
    try:
        return (outbox / f"{plan_id}.update").read_bytes()
    except FileNotFoundError:
        return None

"""Reads the anchor examples that every school replays, so that the rest of the model stays where it was."""

from __future__ import annotations

from pathlib import Path

from central.training.errors import AnchorsUnreadable
from federation.errors import WireError
from federation.wire.canonical import parse
from federation.wire.rounds import Example

ANCHORS_FILE = Path(__file__).parent / "anchors.jsonl"


def anchors_read(path: Path = ANCHORS_FILE) -> tuple[Example, ...]:
    """Return the examples of the JSON lines at `path`.

    Raises:
        AnchorsUnreadable: names the line that is no example.
    """
    try:
        lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise AnchorsUnreadable(path=str(path), line=0) from error
    examples = []
    for number, line in enumerate(lines, start=1):
        try:
            examples.append(parse(Example, line))
        except WireError as error:
            raise AnchorsUnreadable(path=str(path), line=number) from error
    return tuple(examples)

"""Rows as a CSV file that streams: UTF-8 with a mark that spreadsheets know it by, and no cell that they would run.

No more than some hundred rows are ever in memory, however many the file has.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

MARK = "\ufeff"
ROWS_A_PIECE = 500
FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_CONTROLS = ("\t", "\r", "\n")

Cell = str | int | float | None


def cell_safe(value: Cell) -> Cell:
    """Return the cell as a spreadsheet may have it: text that would be run as a formula begins with an apostrophe.

    Numbers stay numbers.

    Source: OWASP, CSV Injection.
    """
    if not isinstance(value, str):
        return value
    is_dangerous = value.startswith(_CONTROLS) or value.lstrip().startswith(FORMULA_STARTS)
    return f"'{value}" if is_dangerous else value


def csv_pieces(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[bytes]:
    """Yield the file of `head` and `rows` in pieces."""
    held = io.StringIO()
    writer = csv.writer(held)
    held.write(MARK)
    writer.writerow([cell_safe(word) for word in head])
    for count, row in enumerate(rows, start=1):
        writer.writerow([cell_safe(value) for value in row])
        if count % ROWS_A_PIECE == 0:
            yield _taken(held)
    yield _taken(held)


def _taken(held: io.StringIO) -> bytes:
    content = held.getvalue().encode()
    held.seek(0)
    held.truncate()
    return content

"""The index of the passages' words: a table of SQLite's FTS5 that holds stems, read and written by plain SQL.

Source: SQLite, "FTS5 Extension", and its `fts5vocab` table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from django.db import connection
from django.db.backends.utils import CursorWrapper

from node.textbooks.stems import LEAST_BEGINNING, stems_of

# A word of a heading says more of what a passage is about.
_HEADING_WEIGHT = 2.0
_AFTER_ALL_LETTERS = "\U0010ffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """A passage that has some of the stems; `relevance` is higher for better ones (bm25, its sign turned)."""

    passage_id: int
    relevance: float
    heading_stems: frozenset[str]
    text_stems: frozenset[str]


@dataclass(frozen=True, slots=True)
class Words:
    """What a passage is found by: the stems of its heading and of its text, in order."""

    heading: str
    text: str


def words_of(*, heading: str, text: str) -> Words:
    """Return what a passage is found by; for a book that takes a second, so it is done outside of transactions."""
    return Words(" ".join(stems_of(heading)), " ".join(stems_of(text)))


def words_index(passages: Iterable[tuple[int, Words]]) -> None:
    """Make the passages findable; each is its id and its words."""
    rows = [(pk, words.heading, words.text) for pk, words in passages]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO textbooks_words (rowid, heading, text) VALUES (%s, %s, %s)", rows)


def words_match(stems: Sequence[str], *, most: int) -> list[Indexed]:
    """Return the `most` passages that speak most of `stems`, the best first."""
    # Stems are letters and digits alone; the quotes keep AND, OR and NEAR from being operators.
    sought = " OR ".join(f'"{stem}"*' if len(stem) >= LEAST_BEGINNING else f'"{stem}"' for stem in stems)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rowid, bm25(textbooks_words, %s, 1.0) AS badness, heading, text FROM textbooks_words "
            "WHERE textbooks_words MATCH %s ORDER BY badness LIMIT %s",
            [_HEADING_WEIGHT, sought, most],
        )
        return [
            Indexed(
                passage_id=pk,
                relevance=-badness,
                heading_stems=frozenset(heading.split()),
                text_stems=frozenset(text.split()),
            )
            for pk, badness, heading, text in cursor.fetchall()
        ]


def stem_counts(stems: Collection[str]) -> dict[str, int]:
    """Return for each of `stems` how often the passages have its words: each passage once a word."""
    with connection.cursor() as cursor:
        return {stem: _count(cursor, stem) for stem in stems}


def _count(cursor: CursorWrapper, stem: str) -> int:
    if len(stem) < LEAST_BEGINNING:
        cursor.execute("SELECT sum(doc) FROM textbooks_vocabulary WHERE term = %s", [stem])
    else:
        cursor.execute(
            "SELECT sum(doc) FROM textbooks_vocabulary WHERE term >= %s AND term < %s",
            [stem, stem + _AFTER_ALL_LETTERS],
        )
    return int(cursor.fetchone()[0] or 0)

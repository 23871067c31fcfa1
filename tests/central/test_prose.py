"""The passages over which the centre holds the model: in the schools' languages, and of nothing that is examined."""

from central.releases.evaluation_set import texts_read
from central.training.hold import PROSE_FILE
from tests.benchmarks.labels.label_set import labels_read

LINES = PROSE_FILE.read_text("utf-8").splitlines()
ENGLISH, RUSSIAN, TAJIK = set("aeiou"), set("щыэ"), set("ғӣқӯҳҷ")
RUN = 6


def runs(text):
    """Return every run of words of one length, in small letters and without marks."""
    words = "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()
    return {tuple(words[first : first + RUN]) for first in range(len(words) - RUN + 1)}


def test_tajik_has_the_most_and_each_language_enough():
    written = [next(one for one in (TAJIK, ENGLISH, RUSSIAN) if set(line.lower()) & one) for line in LINES]
    counts = [written.count(language) for language in (TAJIK, RUSSIAN, ENGLISH)]
    assert counts == [24, 8, 8]
    assert all(line == " ".join(line.split()) and line.endswith(".") for line in LINES)
    assert len(set(LINES)) == len(LINES)


def test_nothing_that_is_examined_stands_in_them():
    held = set().union(*(runs(line) for line in LINES))
    examined = [*texts_read().values(), *(f"{label.question} {label.correction}" for label in labels_read())]
    assert len(held) > 1000
    assert [shared for text in examined if (shared := held & runs(text))] == []

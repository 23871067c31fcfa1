"""The words of both projects: whole in Tajik and Russian, and compiled as they are written."""

import io
import re
from pathlib import Path

import django
import pytest
import unfold
from babel.messages.extract import extract
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[1]
HOLE = re.compile(r"%\(\w+\)[sd]")
JOINED = re.compile(r"[\"']\n\s*[\"']")
"""Where a text of Python goes on in the next line."""
FEWEST = {"central": 300, "node": 190}
_PLURAL, _IN_CONTEXT = (1, 2), ((1, "c"), 2)
KEYWORDS = {
    **dict.fromkeys(("_", "_both", "gettext", "gettext_lazy", "gettext_noop")),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), _PLURAL),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), _IN_CONTEXT),
}
CATALOGUES = [(project, language) for project in FEWEST for language in ("tg", "ru")]


def catalogue_read(project, language):
    """Return the catalogue as it is written, and the path of the compiled one."""
    path = ROOT / project / "locale" / language / "LC_MESSAGES" / "django.po"
    with path.open("rb") as stream:
        return read_po(stream, locale=language), path.with_suffix(".mo")


@pytest.mark.parametrize(("project", "language"), CATALOGUES)
def test_the_catalogue_has_every_word_of_the_pages_and_no_other(project, language):
    catalogue, _compiled = catalogue_read(project, language)
    known = {_singular(message.id) for message in catalogue if message.id}

    assert known == set(_words_of(ROOT / project))


@pytest.mark.parametrize(("project", "language"), CATALOGUES)
def test_no_word_is_fuzzy(project, language):
    catalogue, _compiled = catalogue_read(project, language)

    assert not [message.id for message in catalogue if message.id and message.fuzzy]


@pytest.mark.parametrize(("project", "language"), CATALOGUES)
def test_every_word_is_translated_with_the_same_holes(project, language):
    catalogue, _compiled = catalogue_read(project, language)
    words = [message for message in catalogue if message.id]

    assert len(words) >= FEWEST[project]
    assert not [message.id for message in words if not all(_forms(message.string))]
    assert not [m.id for m in words for said in _forms(m.string) if _holes(_singular(m.id)) != _holes(said)]


@pytest.mark.parametrize(("project", "language"), CATALOGUES)
def test_the_compiled_words_are_those_that_are_written(project, language):
    catalogue, path = catalogue_read(project, language)
    with path.open("rb") as stream:
        compiled = read_mo(stream)

    assert _words(compiled) == _words(catalogue)


def test_what_is_translated_for_django_is_what_it_still_says():
    said = set()
    for path in Path(django.__file__).parent.rglob("locale/en/LC_MESSAGES/django.po"):
        with path.open("rb") as stream:
            said |= {_singular(message.id) for message in read_po(stream)}

    assert set(_words_in(ROOT / "central" / "django_words.py")) <= said


def test_what_is_translated_for_unfold_is_what_it_still_says():
    folder = Path(unfold.__file__).parent
    files = (path for kind in ("*.py", "*.html") for path in folder.rglob(kind))
    said = JOINED.sub("", "\n".join(path.read_text("utf-8") for path in files))

    assert [words for words in _words_in(ROOT / "central" / "unfold_words.py") if words not in said] == []


def _words(catalogue):
    """Return what is said for each text; the heading, which names Babel's version, left out."""
    return {
        (message.context, *_forms(message.id)): tuple(_forms(message.string))
        for message in catalogue
        if message.id and message.string and not message.fuzzy
    }


def _words_of(folder):
    """Yield every text in the code and the templates of `folder` that is marked for translation."""
    for path in (*folder.rglob("*.py"), *folder.rglob("*.html")):
        yield from _words_in(path)


def _words_in(path):
    source = path.read_text("utf-8")
    if path.suffix == ".html":
        source = templatize(source, origin=str(path))
    found = extract("python", io.BytesIO(source.encode()), keywords=KEYWORDS, options={"encoding": "utf-8"})
    return [_singular(words) for _line, words, _comments, _context in found]


def _forms(words):
    """Return the text's forms: one, or one for each kind of number."""
    return (words,) if isinstance(words, str) else words


def _holes(words):
    return sorted(HOLE.findall(words))


def _singular(words):
    return words if isinstance(words, str) else words[0]

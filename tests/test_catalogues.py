"""The words of both projects: whole in Tajik and Russian, and compiled as they are written."""

import io
import re
from pathlib import Path

import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parents[1]
HOLE = re.compile(r"%\(\w+\)[sd]")
FEWEST = {"central": 300, "node": 190}
CATALOGUES = [(project, language) for project in FEWEST for language in ("tg", "ru")]


def catalogue_read(project, language):
    """Return the catalogue as it is written, and the path of the compiled one."""
    path = ROOT / project / "locale" / language / "LC_MESSAGES" / "django.po"
    with path.open("rb") as stream:
        return read_po(stream, locale=language), path.with_suffix(".mo")


@pytest.mark.parametrize(("project", "language"), CATALOGUES)
def test_every_word_is_translated_with_the_same_holes(project, language):
    catalogue, _compiled = catalogue_read(project, language)
    words = [message for message in catalogue if message.id and isinstance(message.id, str)]

    assert len(words) >= FEWEST[project]
    assert not [message.id for message in words if not message.string]
    assert not [m.id for m in words if sorted(HOLE.findall(m.id)) != sorted(HOLE.findall(m.string))]


@pytest.mark.parametrize(("project", "language"), CATALOGUES)
def test_the_compiled_words_are_those_that_are_written(project, language):
    catalogue, compiled = catalogue_read(project, language)
    fresh = io.BytesIO()
    write_mo(fresh, catalogue)

    assert compiled.read_bytes() == fresh.getvalue()

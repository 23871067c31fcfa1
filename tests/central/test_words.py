"""The centre's words: whole in each language, and compiled as they are written."""

import io
import re
from pathlib import Path

import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.utils import translation

from central.words import SENTENCES, sentence

LOCALE = Path(__file__).parents[2] / "central" / "locale"
HOLE = re.compile(r"%\(\w+\)s")


def _catalogue(language):
    path = LOCALE / language / "LC_MESSAGES" / "django.po"
    with path.open("rb") as stream:
        return read_po(stream, locale=language), path.with_suffix(".mo")


@pytest.mark.parametrize("language", ["tg", "ru"])
def test_every_word_is_translated_with_the_same_holes(language):
    catalogue, _ = _catalogue(language)
    words = [message for message in catalogue if message.id]
    assert len(words) > 300
    assert not [message.id for message in words if not message.string]
    assert not [m.id for m in words if sorted(HOLE.findall(m.id)) != sorted(HOLE.findall(m.string))]
    assert set(SENTENCES.values()) <= {message.id for message in words}


@pytest.mark.parametrize("language", ["tg", "ru"])
def test_the_compiled_words_are_those_that_are_written(language):
    catalogue, compiled = _catalogue(language)
    fresh = io.BytesIO()
    write_mo(fresh, catalogue)
    assert compiled.read_bytes() == fresh.getvalue()


@pytest.mark.parametrize("language", ["tg", "ru", "en"])
def test_a_sentence_with_a_missing_field_or_an_unforeseen_code_is_still_a_sentence(language):
    with translation.override(language):
        assert "?" in sentence("port_in_use", {})
        assert "never_heard_of" in sentence("never_heard_of", {})
        assert all(sentence(code, {}) for code in SENTENCES)

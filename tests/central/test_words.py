"""The centre's sentences for errors."""

import pytest
from django.utils import translation

from central.words import SENTENCES, sentence
from tests.test_catalogues import catalogue_read


@pytest.mark.parametrize("language", ["tg", "ru"])
def test_every_sentence_is_in_the_catalogue(language):
    catalogue, _compiled = catalogue_read("central", language)

    assert set(SENTENCES.values()) <= {message.id for message in catalogue if message.id}


@pytest.mark.parametrize("language", ["tg", "ru", "en"])
def test_a_sentence_with_a_missing_field_or_an_unforeseen_code_is_still_a_sentence(language):
    with translation.override(language):
        assert "?" in sentence("port_in_use", {})
        assert "never_heard_of" in sentence("never_heard_of", {})
        assert all(sentence(code, {}) for code in SENTENCES)

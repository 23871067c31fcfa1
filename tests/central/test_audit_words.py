"""The audit's list speaks of things and deeds in words, and keeps what it does not know as it is."""

import ast
from pathlib import Path

import pytest
from django.utils import translation

from central.schools.audit_words import _DEEDS, entity_words, value_words

CENTRE = Path(__file__).parents[2] / "central"


@pytest.mark.parametrize(
    ("entity", "words"),
    [
        ("rollouts.wave 7", "Wave 7"),
        ("feedback.rating data set", "Rating data set"),
        ("rollouts.unheard 7", "rollouts.unheard 7"),
        ("a stick", "a stick"),
    ],
)
def test_a_thing_is_named_by_its_kind(entity, words):
    with translation.override("en"):
        assert entity_words(entity) == words


def test_a_status_is_called_as_on_its_own_page_and_a_deed_by_its_word():
    with translation.override("ru"):
        assert value_words("rollouts.rollout 1", "rolling_back") != "rolling_back"
        assert value_words("feedback.rating list", "downloaded") == "скачано"
    assert value_words("feedback.rating list", "something new") == "something new"
    assert value_words("schools.node 1", "") == ""


def test_every_deed_that_the_code_writes_down_has_a_word():
    calls = (
        node
        for file in CENTRE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "").startswith("audit_record")
    )
    written = {
        word.value.value
        for call in calls
        for word in call.keywords
        if word.arg == "new" and isinstance(word.value, ast.Constant)
    }
    assert len(written) > 10
    assert written <= _DEEDS.keys()

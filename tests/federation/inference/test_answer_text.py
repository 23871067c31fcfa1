"""The words of an answer as its tokens come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.inference.answer_text import AnswerText
from federation.inference.prompt import ChatTokenizer


@pytest.fixture(scope="module")
def tokenizer(packaged):
    return ChatTokenizer(packaged / "package" / "tokenizer.json.gz")


def spelled(tokenizer, words, stops=()):
    text = AnswerText(tokenizer, stops=stops)
    pieces = []
    for token in tokenizer.words(words):
        pieces.append(text.take(token))
        if text.is_stopped:
            break
    return [*pieces, text.finish()]


def test_a_character_of_several_tokens_is_never_divided(tokenizer):
    pieces = spelled(tokenizer, "a☃é б")
    assert "".join(pieces) == "a☃é б"
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize(
    ("words", "stops", "expected"),
    [
        ("салом ҷаҳон", ("ҷаҳ",), "салом "),
        ("салом ҷаҳон", ("он", "алом"), "с"),
        ("салом ҷаҳон", ("ҷаҳонӣ",), "салом ҷаҳон"),
        ("салом", ("салом",), ""),
        ("салом", ("",), "салом"),
    ],
)
def test_nothing_comes_from_a_stop_text_on(tokenizer, words, stops, expected):
    assert "".join(spelled(tokenizer, words, stops)) == expected


@given(words=st.text("салом ҷн", max_size=30), stop=st.text("салом ҷн", min_size=1, max_size=4))
def test_what_is_shown_is_what_stands_before_the_first_stop_text(tokenizer, words, stop):
    assert "".join(spelled(tokenizer, words, (stop,))) == words.partition(stop)[0]

"""Answers on their way to a reader, and formulas in plain words."""

import time
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from latex2mathml.converter import convert

from node.chat.formula_words import formula_words
from node.chat.laying import Laying, ShownKind
from node.chat.markup import answer_html


def test_a_paragraph_is_laid_out_when_it_is_complete_and_not_before():
    laying = Laying()
    assert laying.take("**а") == [(ShownKind.PIECE, "**а")]
    assert laying.take("**\n\nб") == [
        (ShownKind.PIECE, "**\n\n"),
        (ShownKind.LAID, "<p><strong>а</strong></p>\n"),
        (ShownKind.PIECE, "б"),
    ]
    assert laying.take("в") == [(ShownKind.PIECE, "в")]


@pytest.mark.parametrize("text", ["```\na\n\nb", "$$\na\n\nb"])
def test_a_gap_inside_a_fence_or_a_formula_ends_nothing(text):
    assert [kind for kind, _words in Laying().take(text)] == [ShownKind.PIECE]


@given(st.lists(st.text(alphabet="а*\n`$<&", max_size=6), max_size=20))
def test_all_pieces_together_spell_the_answer_and_what_is_laid_out_is_all_before_it(pieces):
    laying, spelt = Laying(), ""
    for piece in pieces:
        for kind, words in laying.take(piece):
            if kind is ShownKind.PIECE:
                spelt += unescape(words)
            else:
                assert words == answer_html(spelt)
    assert spelt == laying.text == "".join(pieces)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        (r"x^2+\frac{a+b}{2c}", "x^2+(a+b)/(2c)"),
        (r"\sqrt{b^2-4ac}", "√(b^2−4ac)"),
        (r"\sqrt[3]{x}", "x^(1/3)"),
        (r"\sum_{i=1}^{n} x_i", "∑_(i=1)^n x_i"),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "(1, 2; 3, 4)"),
        (r"\frac{1}{10.5}", "1/10.5"),
        (r"\vec{F}=m", "F→=m"),
    ],
)
def test_a_formula_has_a_line_of_plain_words(formula, words):
    assert formula_words(convert(formula)) == words


def test_what_a_formula_says_cannot_leave_its_attribute():
    shown = answer_html(r'$\text{"><script>alert(1)</script>}$')
    assert "<script" not in shown
    assert shown.count("<math ") == 1


@pytest.mark.parametrize(
    "text",
    [
        "> " * 5000 + "x",
        "$$" * 10_000,
        r"\(" * 10_000,
        "[" * 20_000,
        "$" + r"\frac{" * 900 + "x" + "}" * 900 + "$",
        "$" + "{" * 450 + "}" * 450 + "$",
        "|a" * 500 + "|\n" + "|-" * 500 + "|\n" + ("|x" * 500 + "|\n") * 20,
        "<img src=x onerror=alert(1)><svg/onload=alert(1)><a href='javascript:x'>" * 200,
        "&lt;script&gt;" * 500,
        "![x](http://evil/x.png) [y](http://evil/) <http://evil/>",
    ],
)
def test_hostile_text_is_shown_as_text_and_keeps_nobody_waiting(text):
    began = time.process_time()
    shown = str(answer_html(text))
    # Here a second at most; what grows with the square of a text takes minutes.
    assert time.process_time() - began < 10
    for tag in ("<script", "<img", "<svg", "<a ", "<iframe", "<style"):
        assert tag not in shown

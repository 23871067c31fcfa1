"""A school's roll is read whole, or each line's problem is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.people.names import PICTURES, class_name_read, grade_of, picture_choose
from node.people.roll import MAX_BYTES, RollLine, RollProblem, RollRefused, RollRole, roll_parse

TAJIK = "насаб;ном;синф;нақш;номи воридшавӣ\nКаримова;Ҷамила;6а;;\nШарипов;Фирӯз;6А+7Б;омӯзгор;firuz\n"
PEOPLE = (
    RollLine(line=2, role=RollRole.PUPIL, last_name="Каримова", first_name="Ҷамила", classes=("6А",), username=""),
    RollLine(
        line=3, role=RollRole.TEACHER, last_name="Шарипов", first_name="Фирӯз", classes=("6А", "7Б"), username="firuz"
    ),
)


def problems_of(content):
    with pytest.raises(RollRefused) as refused:
        roll_parse(content)
    return refused.value.problems


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_as_excel_writes_it_is_read(encoding, delimiter, end):
    assert roll_parse(TAJIK.replace(";", delimiter).replace("\n", end).encode(encoding)) == PEOPLE


def test_the_columns_may_be_in_any_order_and_language_and_empty_lines_count_for_nothing():
    content = b"class,first name\n\n ,\n5 B,Ali\n"
    assert roll_parse(content) == (
        RollLine(line=4, role=RollRole.PUPIL, last_name="", first_name="Ali", classes=("5 В",), username=""),
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", RollProblem(0, "empty")),
        ("ном,синф\n".encode(), RollProblem(0, "empty")),
        ("ном,синф\nҶамила,6А\n".encode("koi8-t"), RollProblem(0, "not_utf8")),
        (b"x" * (MAX_BYTES + 1), RollProblem(0, "too_large")),
        ('ном,синф\n"Али,6А\n'.encode(), RollProblem(0, "not_a_table")),
        ("ном\nАли\n".encode(), RollProblem(1, "columns_unknown")),
        ("ном,синф,телефон\nАли,6А,1\n".encode(), RollProblem(1, "columns_unknown")),
        ("ном,синф,ном\nАли,6А,1\n".encode(), RollProblem(1, "columns_unknown")),
        ("ном,синф,нақш\nАли,6А,шоҳ\n".encode(), RollProblem(2, "role_unknown")),
        ("ном,синф\nАли,\n".encode(), RollProblem(2, "class_missing")),
        ("ном,синф\nАли,6А+6Б\n".encode(), RollProblem(2, "class_missing")),
        ("ном,синф\n,6А\n".encode(), RollProblem(2, "name_invalid")),
        (f"ном,синф\nАли,{'6' * 21}\n".encode(), RollProblem(2, "class_name_invalid")),
        ("ном,синф,роль\nАли,6А,учитель\n".encode(), RollProblem(2, "username_missing")),
        ("ном,синф\nАли,6А\nАли,6а\n".encode(), RollProblem(3, "twice")),
    ],
)
def test_what_cannot_be_taken_is_named_with_its_line(content, problem):
    assert problems_of(content) == (problem,)


def test_every_bad_line_is_named_and_not_the_first_alone():
    content = "ном,синф\nАли,\nВалӣ,6А\n,6А\n".encode()
    assert problems_of(content) == (RollProblem(2, "class_missing"), RollProblem(4, "name_invalid"))


@given(st.binary(max_size=200))
def test_no_bytes_end_otherwise_than_in_people_or_a_refusal(content):
    found: object = ()
    try:
        found = roll_parse(content)
    except RollRefused as refused:
        found = refused.problems
    assert found


@pytest.mark.parametrize(
    ("typed", "name", "grade"),
    [("6a", "6А", 6), (" 10  б ", "10 Б", 10), ("11-B", "11-В", 11), ("12А", "12А", 0), ("Тайёрӣ", "ТАЙЁРӢ", 0)],
)
def test_a_class_has_one_spelling_on_every_keyboard(typed, name, grade):
    assert (class_name_read(typed), grade_of(class_name_read(typed))) == (name, grade)


def test_no_two_pupils_have_one_picture_while_there_are_others():
    taken = []
    for _ in PICTURES:
        taken.append(picture_choose(taken))
    assert sorted(taken) == sorted(PICTURES)
    assert picture_choose(taken) in PICTURES

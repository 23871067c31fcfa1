"""What names a person is replaced before a text leaves the school, and lessons are left alone."""

import time

import pytest

from node.ratings.masking import text_mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Ба ali.karimov@mail.tj нависед.", "Ба [почтаи электронӣ] нависед."),
        ("Занг занед: +992 90 123 45 67.", "Занг занед: [рақами телефон]."),
        ("+992901234567", "[рақами телефон]"),
        ("+992 (37) 221-12-34", "[рақами телефон]"),
        ("992 90 123 45 67 аст", "[рақами телефон] аст"),
        ("рақам 90 123 45 67", "рақам [рақами телефон]"),
        ("918-12-34-56", "[рақами телефон]"),
        ("901234567", "[рақами телефон]"),
        ("+7 916 123-45-67", "[рақами телефон]"),
        ("Шиноснома А1234567", "Шиноснома [рақами ҳуҷҷат]"),
        ("паспорт AB 12345678 дорад", "паспорт [рақами ҳуҷҷат] дорад"),
        ("РМА: 123456789", "РМА: [рақами ҳуҷҷат]"),
        ("№ 1234567", "№ [рақами ҳуҷҷат]"),
        ("корт 4444 5555 6666 7777", "корт [рақами корт]"),
    ],
)
def test_a_personal_mark_is_masked(text, masked):
    assert text_mask(text).text == masked


@pytest.mark.parametrize(
    "lesson",
    [
        "Соли 1924 пойтахт Душанбе шуд.",
        "Суръати нур 299 792 458 м/с аст.",
        "Суръати нур 299792458 м/с аст.",
        "Аҳолӣ 900000000 нафар.",
        "12 + 34 - 56 = -10; 3.14159265358979",
        "1 000 000 000 сол",
        "Формулаи H2SO4 ва C6H12O6",
        "x = 123456789.5",
    ],
)
def test_a_number_of_a_lesson_is_left_alone(lesson):
    assert text_mask(lesson).text == lesson


def test_a_known_name_is_masked_and_a_word_that_only_contains_it_is_left_alone():
    assert text_mask("Карим ва каримӣ", names=["Карим"]).text == "[ном] ва каримӣ"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Каримро, Каримҷонро ва Каримам дидам", "[ном]ро, [ном]ҷонро ва [ном]ам дидам"),
        ("Дар бораи Карими мо", "Дар бораи [ном]и мо"),
        ("Я видел Ҷамилу с Каримом", "Я видел [ном] с [ном]ом"),
        ("КАРИМ-ҷон", "[ном]-ҷон"),
        ("Карим Саидов ва Саид", "[ном] [ном] ва Саид"),
        ("Моҳи Ойро ва ой", "Моҳи Ойро ва [ном]"),
    ],
)
def test_a_known_name_is_masked_with_the_endings_that_it_takes(text, masked):
    assert text_mask(text, names=["Карим", "Ҷамила", "Саидов", "Ой"]).text == masked


def test_words_that_a_teacher_points_at_are_masked():
    masked = text_mask("Деҳаи\nОббурдонро (кӯчаи 5) дидам.", words=["деҳаи  Оббурдон", "(кӯчаи 5)", ""])
    assert masked.text == "[пинҳон]ро [пинҳон] дидам."
    assert [text for _kind, text in masked.found] == ["Деҳаи\nОббурдон", "(кӯчаи 5)"]


def test_three_thousand_names_are_masked_in_a_moment():
    names = [f"Номи{number}" for number in range(3000)]
    started = time.perf_counter()
    assert text_mask("Номи2999 ва дарс. " * 400, names=names).text.startswith("[ном] ва")
    assert time.perf_counter() - started < 2


def test_masking_again_changes_nothing():
    once = text_mask("Ба ali@mail.tj ё +992 90 123 45 67 ё А1234567").text
    assert text_mask(once).text == once

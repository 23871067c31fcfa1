"""Where an adapter comes from, as the admin draws its card."""

from django.utils import translation

from central.releases.card_drawing import card_draw

CARD = {
    "season": "2166b630ffffffff",
    "rounds": [1, 2],
    "mode": "private",
    "scheme": "fed-sb",
    "mode_settings": {"budget": 5.0},
    "updates": 3,
    "schools": {"Хатлон": 2, "": 1},
    "largest_weight": 0.33333333,
    "epsilon": 4.38,
}


def test_a_card_is_drawn_in_words_and_in_the_readers_language():
    with translation.override("en"):
        drawn = dict(card_draw(CARD))
    assert drawn == {
        "season": "2166b630",
        "rounds": "1, 2",
        "mode": "private",
        "scheme": "Fed-SB",
        "updates": "3",
        "schools": "Хатлон (× 2), – (× 1)",
        "largest share of one school": "0.333",
        "ε": "4.38",
    }
    with translation.override("tg"):
        assert ("реҷа", "махфӣ") in card_draw(CARD)


def test_a_bases_card_has_nothing_of_rounds():
    assert card_draw({"perplexity": {"tg": {"fp32": 50.0}}}) == []
